"""What the rest of the container knows of its registration, whichever kind that is."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from pydantic import SecretStr
from starlette.requests import Request

from ..metrics import Metrics
from ..settings import ContainerSettings, Settings
from .auth import REFUSED, require_token


class RegistrarContext(NamedTuple):
    """`distribution` is the name under which the container's package is installed.

    `describe_gpu` returns the GPU as heartbeats describe it, None where there is none.
    `on_release` is called on the main thread with the id of each session that the orchestrator
    has ended.
    """

    settings: Settings
    metrics: Metrics
    distribution: str
    describe_gpu: Callable[[], Awaitable[dict[str, Any] | None]]
    on_release: Callable[[str], None]


class Registrar:
    """Registers the container, keeps it registered, closes admission and withdraws it.

    By default it calls no orchestrator. `run` and `health_polled` execute on the ops thread,
    everything else on the main thread.
    """

    # The reasons with which `authorize` refuses, by status.
    refusals: dict[int, str] = REFUSED

    def __init__(self, context: RegistrarContext) -> None:
        self.token: SecretStr | None = context.settings[ContainerSettings].auth_token

    async def authorize(self, request: Request) -> None:
        """Raises JobError unless the caller may use the job port."""
        require_token(request, self.token)

    def open_admission(self) -> None:
        """Have the orchestrator send sessions, because the model is loaded."""

    def follow(self, sessions: frozenset[str], unreleased: int) -> None:
        """`sessions` are open; `unreleased` more have ended, but the orchestrator counts them."""

    def close_admission(self) -> None:
        """Have the orchestrator send no new sessions; open ones go on."""

    def refresh(self) -> None:
        """Report to the orchestrator at once, without waiting for the next report to be due."""

    def health_polled(self, status: int) -> None:
        """Somebody outside the container has polled /health and got this status."""

    async def withdraw(self) -> None:
        """Have the orchestrator send nothing more, before the container stops answering."""

    async def run(self) -> None:
        """Call the orchestrator until `withdraw` is done."""
