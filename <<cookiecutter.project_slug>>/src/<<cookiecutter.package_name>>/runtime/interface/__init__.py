"""What a model sees of the container, whatever it works on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

from pydantic import BaseModel, ValidationError

from ..settings import SettingsGroup, read_settings

type Json = dict[str, Any] | list[Any] | str | int | float | bool | None


class InvalidRequestError(Exception):
    """The caller's mistake: the model raises it, the caller gets `message` as it is.

    `field` names the input at fault.
    """

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class ModelSettings(SettingsGroup):
    """The model's own settings: a field's variable is `MODEL_` and its name in capitals."""

    _prefix: ClassVar[str] = "MODEL_"

    def __init_subclass__(cls, **options: Any) -> None:
        for name in cls.__annotations__:
            if name == "id":
                reason = "go-livepeer sets MODEL_ID for the containers that it manages itself"
                raise TypeError(f"a setting can't be called id, because {reason}")
            if hasattr(ModelSettings, name):
                raise TypeError(
                    f"a setting can't be called {name}, because its class has that name"
                )
        super().__init_subclass__(**options)

    @classmethod
    def read(cls) -> Self:
        """From the environment. Raises SettingsError with all wrong values on one line."""
        return read_settings((cls,), {})[cls]


class ModelProtocol(Protocol):
    """`MAX_PARALLEL` is how many threads may call it at once; 1 unless the model says so."""

    MAX_PARALLEL: int

    def load(self, weights: Path) -> None: ...

    def close(self) -> None: ...


def validate[M: BaseModel](parse: Callable[[Any], M], value: Any, whole: str) -> M:
    """Raises InvalidRequestError that names the first bad field, or `whole` where there is none."""
    try:
        return parse(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"])) or whole
        words = first["msg"].removeprefix("Value error, ")
        raise InvalidRequestError(f"{field}: {words}", field) from None
