"""`python -m benchmarks [--quick] [--live]`: a generated container beside its peers, as tables.

Everything runs on 127.0.0.1 and in a temporary folder. Compare figures of one run only.
"""

import argparse
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

from . import alone, live, rendering, report
from .peers import OURS, PEERS, Environments
from .rounds import CLIENTS, Length, Results, run_rounds

FULL = Length(rounds=3, overhead=1.2, health={"wait": 2, "spin": 2, "hold": 4}, limit=450)
QUICK = Length(rounds=1, overhead=0.5, health={"wait": 0.6, "spin": 0.6, "hold": 2}, limit=100)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--live", action="store_true", help="live streams instead of jobs")
    arguments = parser.parse_args()
    length = QUICK if arguments.quick else FULL
    end = time.monotonic() + length.limit
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        keep_to(folder)
        environments = Environments(folder)
        if arguments.live:
            if failures := environments.make_all([live.OURS]):
                sys.exit(failures[live.OURS.name])
            live.run(folder, environments.path(live.OURS).parent, 3 if arguments.quick else 8)
            return
        results = Results(skipped=environments.make_all(PEERS))
        if OURS.name in results.skipped:
            sys.exit(results.skipped[OURS.name])
        drawn = rendering.observe(folder / "rendering", times=2 * length.rounds)
        ends = [alone.observe(environments, folder) for _ in range(length.rounds)]
        moved = alone.exchange(environments)
        run_rounds(results, environments, folder, length, end)
        print(f"\n{os.cpu_count()} cores, Python {platform.python_version()}", end="")
        print(f", load {os.getloadavg()[0]:.1f} at the end, rounds: {rounds(results)}\n")
        for peer in PEERS:
            if peer.name in results.overhead:
                print(f"- {peer.name}: {environments.versions(peer)}")
    for what, why in results.skipped.items():
        print(f"- **skipped: {what}**: {why}")
    print("\n## Overhead of a job, with a model that answers at once\n")
    print(report.overhead_table(results, PEERS))
    print(f"\n## Health, asked every 20 ms while {CLIENTS} callers keep the model busy\n")
    print(report.health_table(results))
    print("\n## Alone\n")
    print(report.own_table(ends, drawn, moved))


def rounds(results: Results) -> int:
    return len(results.overhead[OURS.name])


def keep_to(folder: Path) -> None:
    """Cookiecutter reads defaults from a home, keeps replays there, and leaves hooks behind."""
    config = folder / "cookiecutter.yaml"
    config.write_text(f'replay_dir: "{folder}"\ncookiecutters_dir: "{folder}"\n')
    os.environ |= {"COOKIECUTTER_CONFIG": str(config), "TMPDIR": str(folder)}
    tempfile.tempdir = str(folder)


if __name__ == "__main__":
    main()
