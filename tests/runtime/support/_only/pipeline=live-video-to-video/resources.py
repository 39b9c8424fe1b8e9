"""What the container holds, as the kernel tells, and its own event loop."""

import signal
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from emulator.container import Container, eventually

OBSERVED = ["-m", "observed"]
"""How to start a server whose tasks can be counted."""


class Holdings(NamedTuple):
    """`sockets` are among the `files`; `shared` counts the mappings of shared memory."""

    threads: int
    files: int
    sockets: int
    shared: int


def holdings(pid: int) -> Holdings:
    folder = Path(f"/proc/{pid}")
    files = []
    for link in (folder / "fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            files.append(str(link.readlink()))
    return Holdings(
        threads=len(list((folder / "task").iterdir())),
        files=len(files),
        sockets=sum(file.startswith("socket:") for file in files),
        shared=(folder / "maps").read_text().count("memfd:"),
    )


def tasks(server: Container) -> int:
    """How many asyncio tasks it has now."""
    before = len(server.events("observed"))
    server.process.send_signal(signal.SIGUSR2)
    (event,) = eventually(lambda: server.events("observed")[before:], "tasks counted")
    return int(event["tasks"])
