"""What a container is made of."""

import socket
from collections.abc import Callable
from typing import NamedTuple

from .api.service import Service, ServiceContext
from .livepeer.registrar import Registrar, RegistrarContext
from .ops.gpu import Gpu
from .settings import Settings
from .worker.child import Child


class Parts(NamedTuple):
    """What differs from container to container."""

    service: Callable[[ServiceContext], Service]
    registrar: Callable[[RegistrarContext], Registrar]


class Container(NamedTuple):
    """`distribution` is the name under which the container's package is installed.

    `jobs` and `ops` are the sockets to serve on. `child` is the model's process, and `spawn` starts
    another one.
    """

    distribution: str
    settings: Settings
    gpu: type[Gpu]
    parts: Parts
    jobs: socket.socket
    ops: socket.socket
    child: Child
    spawn: Callable[[], Child]
