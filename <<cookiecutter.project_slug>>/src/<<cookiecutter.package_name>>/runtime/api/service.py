"""What the lifecycle needs of the pipeline that the container serves."""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

from starlette.types import ASGIApp

from ..health import Health
from ..livepeer.registrar import Registrar
from ..metrics import Metrics
from ..sessions.admission import Admission
from ..settings import Settings
from ..worker.dispatcher import Dispatcher
from ..worker.supervisor import Supervisor


class ServiceContext(NamedTuple):
    """What a service is built from."""

    settings: Settings
    metrics: Metrics
    registrar: Registrar
    health: Health
    distribution: str


class Service(ABC):
    """`admission` has the sessions, and `dispatcher` hands their work to the model."""

    admission: Admission[Any]
    dispatcher: Dispatcher[Any]

    @abstractmethod
    def create_app(self, supervisor: Supervisor[Any]) -> ASGIApp:
        """The application of the job port. Raises SettingsError."""
