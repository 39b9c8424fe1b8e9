"""What can go wrong: the type that is counted, the status and the words for the caller."""

import json
from typing import Literal, get_args

type ErrorType = Literal[
    "bad_request",
    "auth",
    "capacity",
    "timeout",
    "cancelled",
    "model_error",
    "out_of_memory",
    "cuda_fatal",
    "worker_crash",
    "transport",
    "registration",
    "nvml",
    "internal",
]

ERROR_TYPES: tuple[ErrorType, ...] = get_args(ErrorType.__value__)

# 401 makes an orchestrator drop the capability, so that nothing but a bad token may cause it.
STATUS: dict[ErrorType, int] = {
    "bad_request": 422,
    "auth": 401,
    "capacity": 503,
    "timeout": 504,
    "cancelled": 503,
    "out_of_memory": 503,
    "cuda_fatal": 503,
    "worker_crash": 503,
}

RETRY_AFTER_SECONDS = 1


class JobError(Exception):
    """One failed job.

    `message` is written for the caller: plain words, readable alone, no secrets and no tracebacks.
    `field` names the input at fault. `status` defaults to what the type stands for.
    """

    def __init__(
        self,
        type: ErrorType,
        message: str,
        *,
        field: str | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.type: ErrorType = type
        self.message = message
        self.field = field
        self.status = status or STATUS.get(type, 500)

    def details(self) -> dict[str, str | None]:
        """What answers, events and the log say of it."""
        return {"type": self.type, "field": self.field, "message": self.message}

    def json(self) -> bytes:
        """The error on one line, as every caller gets it."""
        return json.dumps({"error": self.details()}).encode()

    def headers(self) -> dict[str, str]:
        """What the status asks for."""
        if self.status == 401:
            return {"WWW-Authenticate": "Bearer"}
        return {"Retry-After": str(RETRY_AFTER_SECONDS)} if self.status == 503 else {}


class WorkerLostError(Exception):
    """The model's process is dead or has to be killed; `cause` is None when it ended by itself."""

    def __init__(self, cause: ErrorType | None = None) -> None:
        super().__init__(cause)
        self.cause = cause
