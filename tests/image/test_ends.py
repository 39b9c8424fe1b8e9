"""The container's ends, as process 1, before there is any work."""

from pathlib import Path

from image.engine import KILL_SECONDS, Image, Start, container, eventually


def test_stop_while_python_starts(image: Image, tmp_path: Path) -> None:
    """The kernel drops a signal to process 1 that has no handler: the first import is late."""
    slow = tmp_path / "structlog.py"
    slow.write_text("import sys, time\nprint('importing', file=sys.stderr)\ntime.sleep(60)\n")
    tmp_path.chmod(0o755)
    with container(image.tag, f"--volume={tmp_path}:/slow:ro", PYTHONPATH="/slow") as running:
        eventually(lambda: "importing" in running.log(), "importing")
        seconds = running.stop()
        assert running.state["ExitCode"] == 0
        assert seconds < KILL_SECONDS


def test_stop_while_the_model_loads(start: Start) -> None:
    with start(BYOC_MODEL="models:Gated", GATED_LOAD="1") as running:
        eventually(lambda: running.health() == 503, "listening")
        seconds = running.stop()
        assert running.state["ExitCode"] == 0
        assert seconds < KILL_SECONDS
