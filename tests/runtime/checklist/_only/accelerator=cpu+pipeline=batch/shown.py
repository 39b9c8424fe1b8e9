"""Shows one of the reports as it grows: `python -m shown failures`."""

import sys
from pathlib import Path

from checklist.terminal import Progress
from reports import REPORTS

whole = REPORTS[sys.argv[1]]()
growing = whole.model_copy(update={"items": []})
with Progress(growing, len(whole.items), Path("the-folder")) as progress:
    for finding in whole.items:
        progress.begin(finding.title)
        growing.items.append(finding)
        progress.end(finding)
