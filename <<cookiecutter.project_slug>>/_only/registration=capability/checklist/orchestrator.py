"""Whether an orchestrator offers a capability, and how to make it forget one."""

import json
from argparse import Namespace
from base64 import b64encode
from functools import partial

import httpx

from .lab import PATIENCE_SECONDS, soon
from emulator.container import Container

# Without a signature, because off-chain orchestrators ignore it (core/orchestrator.go).
NOBODY = b64encode(json.dumps({"addr": "", "sig": ""}).encode()).decode()
ask = partial(httpx.request, timeout=PATIENCE_SECONDS, verify=False)


def offers(options: Namespace) -> bool:
    """Whether the orchestrator has free capacity for it (byoc/job_orchestrator.go)."""
    headers = {"Livepeer-Eth-Address": NOBODY, "Livepeer-Capability": options.capability}
    answer = ask("GET", f"{options.orchestrator}/process/token", headers=headers)
    return "available_capacity" in answer.raise_for_status().json()  # left out if it is 0


def clear(options: Namespace) -> None:
    """Unregister it, again if it registers meanwhile."""
    secret = options.orchestrator_secret
    headers = {"Authorization": secret.read_text().strip()} if secret else {}
    url = f"{options.orchestrator}/capability/unregister"

    def gone() -> bool:
        ask("POST", url, headers=headers, content=options.capability).raise_for_status()
        return not offers(options)

    soon(gone, f"the orchestrator has no {options.capability}")


def lose(options: Namespace, container: Container) -> None:
    """Make the orchestrator forget it, as after a failed connection."""
    clear(options)
