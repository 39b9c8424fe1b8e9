"""Shows one of the reports as it grows: `python -m shown failures`."""

import sys
from pathlib import Path

from checklist.item import Item
from checklist.terminal import Progress
from reports import REPORTS

whole = REPORTS[sys.argv[1]]()
growing = whole.model_copy(update={"items": []})
items = [type(item.id, (Item,), {"id": item.id, "title": item.title}) for item in whole.items]
with Progress(growing, items, Path("the-folder")) as progress:
    for item, finding in zip(items, whole.items, strict=True):
        progress.begin(item)
        growing.items.append(finding)
        progress.end()
