"""The server from its settings to its exit code."""

import socket

import structlog
import uvloop

from .lifecycle import Lifecycle
from .logs import configure_logs
from .ops.gpu import require_gpu
from .settings import Settings, SettingsError, unknown_settings

BACKLOG = 2048


def serve(settings: Settings) -> int:
    """Raises SettingsError when a port is taken, or what is asked for can't be had here."""
    if settings.require_gpu:
        require_gpu()
    configure_logs(settings.log_format, settings.log_level)
    with (
        listen(settings.host, settings.port, "BYOC_PORT") as jobs,
        listen(settings.host, settings.ops_port, "BYOC_OPS_PORT") as ops,
    ):
        log = structlog.get_logger()
        if names := unknown_settings():
            log.warning("unknown settings", names=names)

        async def run() -> int:
            lifecycle = Lifecycle(settings, jobs, ops)
            log.info("listening", port=jobs.getsockname()[1], ops_port=ops.getsockname()[1])
            return await lifecycle.run()

        return uvloop.run(run())


def listen(host: str, port: int, variable: str) -> socket.socket:
    """`::` is every address, those of IPv4 too."""
    version_6 = ":" in host
    family = socket.AF_INET6 if version_6 else socket.AF_INET
    try:
        return socket.create_server(
            (host, port), family=family, backlog=BACKLOG, dualstack_ipv6=version_6
        )
    except OSError as error:
        raise SettingsError(f"{variable}={port}: can't listen on {host}: {error}") from None
