"""The server from its settings to its exit code."""

import gc
import socket

from .engine.child import Child
from .settings import Settings, SettingsError

BACKLOG = 2048


def serve(settings: Settings) -> int:
    """Raises SettingsError when a port is taken, or what is asked for can't be had here."""
    if settings.require_gpu:
        from .ops.gpu import require_gpu

        require_gpu()
    with (
        listen(settings.host, settings.port, "BYOC_PORT") as jobs,
        listen(settings.host, settings.ops_port, "BYOC_OPS_PORT") as ops,
    ):
        child = Child.spawn(settings)
        try:
            # Imported beside the model's process, which imports for about as long. What imports
            # leave behind stays: the collector would look through it again and again.
            gc.disable()
            from .lifecycle import run

            gc.freeze()
            gc.enable()
            return run(settings, jobs, ops, child)
        except SettingsError:
            child.kill()  # or it would complain that nobody listens to it
            raise


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
