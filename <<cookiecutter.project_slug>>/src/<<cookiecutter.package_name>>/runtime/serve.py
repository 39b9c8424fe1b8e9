"""The server from its settings to its exit code."""

import gc
import os
import socket
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from .ops.settings import GpuSettings
from .settings import (
    ContainerSettings,
    Kinds,
    SettingsError,
    read_settings,
    unknown_variables,
)
from .worker.child import Child
from .worker.settings import WorkerSettings

if TYPE_CHECKING:
    from .container import Parts
    from .ops.gpu import Gpu

BACKLOG = 2048
# The settings of every container, besides those of its parts.
SETTINGS: Kinds = (ContainerSettings, WorkerSettings, GpuSettings)


def print_settings(settings: Kinds, defaults: Mapping[str, str]) -> int:
    """Print all settings of the container as `.env.example`; return the exit code."""
    from .env_example import env_example

    print(env_example(all_settings(settings), defaults), end="")
    return 0


def serve(
    distribution: str,
    settings: Kinds,
    defaults: Mapping[str, str],
    executor: str,
    gpu: "Callable[[], type[Gpu]]",
    parts: "Callable[[], Parts]",
) -> int:
    """Serve until a signal; return the exit code of the process.

    `distribution` is the name under which the container's package is installed. `settings` are
    those of the parts, and `defaults` hold for variables that the environment does not set.
    `executor` names the class that calls the model in its process, as `module:Class`. `parts` is
    called after that process has been started, because what it imports takes time as well; `gpu`
    is called before, where a GPU is required.
    """
    kinds = all_settings(settings)
    try:
        return start(distribution, kinds, defaults, executor, gpu, parts)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2


def all_settings(settings: Kinds) -> Kinds:
    """The given classes and those that every container has, each once."""
    return tuple(dict.fromkeys((*SETTINGS, *settings)))


def start(
    distribution: str,
    kinds: Kinds,
    defaults: Mapping[str, str],
    executor: str,
    gpu: "Callable[[], type[Gpu]]",
    parts: "Callable[[], Parts]",
) -> int:
    """Raises SettingsError when a setting is wrong, a port is taken, or a GPU is missing."""
    settings = read_settings(kinds, defaults)
    if settings[GpuSettings].require_gpu:
        gpu().require(os.environ)
    own = settings[ContainerSettings]
    with (
        listen(own.host, own.port, "BYOC_PORT") as jobs,
        listen(own.host, own.ops_port, "BYOC_OPS_PORT") as ops,
    ):
        spawn = partial(Child.spawn, settings, executor)
        child = spawn()
        try:
            # Freeze the imported objects, or the garbage collector would scan them again and again.
            gc.disable()
            from .container import Container
            from .lifecycle import run

            container = Container(distribution, settings, gpu(), parts(), jobs, ops, child, spawn)
            gc.freeze()
            gc.enable()
            return run(container, unknown_variables(kinds))
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
