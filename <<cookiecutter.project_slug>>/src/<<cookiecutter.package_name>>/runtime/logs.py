"""Structured logs on standard error, the same for both processes and for every library.

Each line carries `session_id` and `request_id` while a job is served. Headers, bodies and settings
are never logged: some of them are secrets.
"""

import io
import logging
import sys
from collections.abc import Buffer
from contextlib import suppress

import structlog
from structlog.types import Processor

SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


class StandardError(io.FileIO):
    """Drops what can't be written: no session may fail because the reader of the log is gone."""

    def write(self, data: Buffer) -> int:
        with suppress(OSError):
            super().write(data)
        return memoryview(data).nbytes


def configure_logs(log_format: str, log_level: str) -> None:
    """`log_format` is `json` or `console`; `log_level` a name of the logging module."""
    output = io.TextIOWrapper(
        StandardError(2, "w", closefd=False), errors="backslashreplace", write_through=True
    )
    renderers: list[Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if log_format == "json"
        else [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )
    structlog.configure(
        processors=[*SHARED, *renderers],
        wrapper_class=structlog.make_filtering_bound_logger(log_level),
        logger_factory=structlog.WriteLoggerFactory(output),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=SHARED,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    logging.basicConfig(handlers=[handler], level=log_level, force=True)
    logging.getLogger("uvicorn").setLevel(max(logging.WARNING, logging.root.level))
