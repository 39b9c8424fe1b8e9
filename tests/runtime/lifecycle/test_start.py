"""The model's process is started before the server is imported, and only when nothing is wrong."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from emulator.container import DEADLINE_SECONDS, PACKAGE, eventually
from harness import CHAOS, size, spawn


@pytest.mark.parametrize("wrong", ["BYOC_MODEL", "BYOC_PORT", "BYOC_OPS_PORT"])
def test_nothing_is_started_when_something_is_wrong(tmp_path: Path, wrong: str) -> None:
    """Each Python that starts leaves a mark. The output ends when the last process has ended."""
    marks = tmp_path / "marks"
    (tmp_path / "sitecustomize.py").write_text(
        f"import pathlib\nwith pathlib.Path({str(marks)!r}).open('ab') as file: file.write(b'.')\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        settings = {"BYOC_HOST": "127.0.0.1", "BYOC_PORT": "0", "BYOC_OPS_PORT": "0", wrong: port}
        refused = subprocess.run(
            [sys.executable, "-m", PACKAGE],
            env=os.environ | settings | {"PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
        )
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"{wrong}=")
    assert refused.stderr.count("\n") == 1
    assert size(marks) == 1


def test_the_model_loads_while_the_server_is_imported(tmp_path: Path) -> None:
    """What only the server imports takes for ever; a stop ends both processes at once."""
    mark = tmp_path / "mark"
    (tmp_path / "uvicorn.py").write_text("import time\ntime.sleep(600)\n")
    process = spawn(
        tmp_path / "log",
        ["-m", PACKAGE],
        CHAOS_LOAD="wait",
        CHAOS_MARK=str(mark),
        PYTHONPATH=f"{tmp_path}:{CHAOS['PYTHONPATH']}",
    )
    eventually(lambda: size(mark), "the model has got there")
    worker = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().strip()
    process.send_signal(signal.SIGTERM)
    assert process.wait(DEADLINE_SECONDS) == 0
    eventually(lambda: not Path(f"/proc/{worker}").exists(), "the worker is gone")
