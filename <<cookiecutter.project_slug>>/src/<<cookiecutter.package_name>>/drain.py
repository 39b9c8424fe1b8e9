"""`python -m <package> drain`: what runs before a stop, so that the stop finds nothing to cut."""

import json
import os
import signal
import sys
import time
from http.client import HTTPException
from pathlib import Path
from typing import Any

from .ops import probe
from .settings import Settings

POLL_SECONDS = 0.2


def drain(settings: Settings) -> int:
    """Close admission of the server beside, wait BYOC_DRAIN_SECONDS for its sessions to end.

    0 when none is left, or when there is no drain phase; 1 when some are left, or no server is.
    """
    if settings.drain_seconds == 0:
        print("BYOC_DRAIN_SECONDS is 0: no drain phase", file=sys.stderr)
        return 0
    deadline = time.monotonic() + settings.drain_seconds
    try:
        server = ask(settings, "/livez")["pid"]
        if str(__package__) not in Path(f"/proc/{server}/cmdline").read_text():
            raise ProcessLookupError("it runs elsewhere: run this in its container")
        os.kill(server, signal.SIGUSR1)
        while ask(settings, "/health")["status"] != "draining":
            if time.monotonic() > deadline:
                print("sessions are still open", file=sys.stderr)
                return 1
            time.sleep(POLL_SECONDS)
    except (OSError, HTTPException) as error:
        print(f"no server to drain on BYOC_OPS_PORT={settings.ops_port}: {error}", file=sys.stderr)
        return 1
    return 0


def ask(settings: Settings, route: str) -> Any:
    _, body = probe.ask(settings.host, settings.ops_port, route)
    return json.loads(body)
