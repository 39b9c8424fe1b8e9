"""The container as it is, except that on SIGUSR2 it logs how many asyncio tasks it has."""

import asyncio
import json
import runpy
import signal
import sys

from emulator.container import PACKAGE


def tell(*_: object) -> None:
    event = {"event": "observed", "tasks": len(asyncio.all_tasks())}
    print(json.dumps(event), file=sys.stderr, flush=True)


signal.signal(signal.SIGUSR2, tell)
runpy.run_module(PACKAGE, run_name="__main__")
