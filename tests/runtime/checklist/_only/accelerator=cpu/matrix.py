"""Every broken container under every item: `PYTHONPATH=deep python -m matrix` prints Markdown."""

import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from breaking import Broken, findings, run_checklist
from catalogue import HERE
from checklist.items import ALL
from checklist.report import Verdict

AT_ONCE = 2
ELSEWHERE = ("image", "registration")
ITEMS = [item for item in ALL if item.module() not in ELSEWHERE]
SIGNS: dict[Verdict, str] = {
    "passed": "·",
    "failed": "✕",
    "blocked": "■",
    "skipped": "—",
    "not tested": "?",
}


def verdicts(broken: Broken) -> dict[str, Verdict]:
    """Of all items, whichever is broken."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        broken.put_into(folder / "repository")
        run_checklist(folder, *broken.options, root=folder / "repository")
        return findings(folder)


def matrix(catalogue: Sequence[Broken]) -> str:
    rows = [["", *(str(number) for number, _ in enumerate(ITEMS, 1))], ["---"] * (len(ITEMS) + 1)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for broken, found in zip(catalogue, pool.map(verdicts, catalogue), strict=True):
            rows.append([broken.name, *(SIGNS[found[item.id]] for item in ITEMS)])
            print(rows[-1][0], file=sys.stderr)
    legend = ", ".join(f"{number} {item.id}" for number, item in enumerate(ITEMS, 1))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + f"\n\n{legend}"


if __name__ == "__main__":
    print(matrix(HERE))
