"""What Go's standard library does with JSON, errors and durations, as orchestrators show it."""

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from aiohttp import web

WHITESPACE = " \t\r\n"
LARGEST = 2**63

type Converter = Callable[[Any], Any]
"""What a JSON value becomes; None, or no value, is the type's zero. ValueError if it is wrong."""


class RefusedError(Exception):
    """An answer with this status and this text."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def http_error(status: int, message: str) -> web.Response:
    """As http.Error: plain text, whatever the text is."""
    headers = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
    return web.Response(status=status, text=f"{message}\n", headers=headers)


def string(value: Any) -> str:
    return _exactly(str, value)


def integer(value: Any) -> int:
    """1.0, 1e3 and "1" are none."""
    number = _exactly(int, value)
    if not -LARGEST <= number < LARGEST:
        raise ValueError("number out of range")
    return number


def boolean(value: Any) -> bool:
    return _exactly(bool, value)


def strings(value: Any) -> list[str]:
    return [string(item) for item in _exactly(list, value)]


def number(value: Any) -> Decimal | None:
    """A json.Number: also as a string that holds one; None if there is none."""
    if isinstance(value, str):
        value = _DECODER.decode(value)
    if value is not None and type(value) not in (int, Decimal):
        raise ValueError("invalid number literal")
    return None if value is None else Decimal(value)


def struct(fields: Mapping[str, Converter]) -> Callable[[Any], dict[str, Any]]:
    """An object with these fields, whose keys come in any case; others are no error."""

    def convert(value: Any) -> dict[str, Any]:
        items = _exactly(dict, value).items()
        given = {key.lower(): item for key, item in items if item is not None}
        result = {}
        for name, read in fields.items():
            try:
                result[name] = read(given.get(name))
            except ValueError as error:
                raise ValueError(f"json: cannot unmarshal field {name}: {error}") from None
        return result

    return convert


def unmarshal(data: bytes | str, convert: Converter, *, stream: bool = False) -> Any:
    """As json.Unmarshal; a `stream` may go on after the value, as for json.Decoder."""
    text = data.decode(errors="replace") if isinstance(data, bytes) else data
    text = text.strip(WHITESPACE)
    value, end = _DECODER.raw_decode(text)
    if end < len(text) and not stream:
        raise ValueError("invalid character after top-level value")
    return convert(value)


def duration(seconds: float) -> str:
    """As time.Duration prints it: 5s, 1.5s, 500ms, 1m0s."""
    if seconds < 1:
        return f"{_short(1000 * seconds)}ms"
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}h" * (hours > 0) + f"{minutes}m" * (seconds >= 60) + f"{_short(rest)}s"


def _short(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")


def _exactly[T](kind: type[T], value: Any) -> T:
    if value is None:
        return kind()
    if type(value) is not kind:
        raise ValueError(f"{json.dumps(value, default=str)[:40]} is no {kind.__name__}")
    return value


def _no_constant(text: str) -> None:
    raise ValueError(f"invalid character {text[0]!r}")


_DECODER = json.JSONDecoder(parse_float=Decimal, parse_constant=_no_constant)
