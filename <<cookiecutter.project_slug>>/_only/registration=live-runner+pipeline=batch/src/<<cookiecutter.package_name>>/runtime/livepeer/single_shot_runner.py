"""A live runner whose sessions are single requests (ai/runner/live_runner.go)."""

from .live_runner import LiveRunner


class SingleShotRunner(LiveRunner):
    """The protocol has no token: where none is set, the network decides who may call."""

    mode = "single-shot"
