"""Serve, or `drain` the server that runs beside.

Exit codes: 0 stopped as asked; 1 cut at the deadline, or the model can't come up; 2 wrong settings,
or a GPU required and absent.
"""

import argparse
import socket
import sys

import structlog
import uvloop

from .drain import drain
from .logs import configure_logs
from .settings import Settings, SettingsError, read_settings

BACKLOG = 2048


def listen(host: str, port: int, variable: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise SettingsError(f"{variable}={port}: can't listen on {host}: {error}") from None


def serve(settings: Settings) -> int:
    # Here, because `drain` must not take the time that these imports take.
    from .lifecycle import Lifecycle
    from .ops.gpu import require_gpu

    if settings.require_gpu:
        require_gpu()
    configure_logs(settings.log_format, settings.log_level)
    with (
        listen(settings.host, settings.port, "BYOC_PORT") as jobs,
        listen(settings.host, settings.ops_port, "BYOC_OPS_PORT") as ops,
    ):
        structlog.get_logger().info(
            "listening", port=jobs.getsockname()[1], ops_port=ops.getsockname()[1]
        )

        async def run() -> int:
            return await Lifecycle(settings, jobs, ops).run()

        return uvloop.run(run())


def main() -> int:
    parser = argparse.ArgumentParser(prog=f"python -m {__package__}", description=__doc__)
    parser.add_argument("command", nargs="?", choices=["serve", "drain"], default="serve")
    command = parser.parse_args().command
    try:
        settings = read_settings()
        return drain(settings) if command == "drain" else serve(settings)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
