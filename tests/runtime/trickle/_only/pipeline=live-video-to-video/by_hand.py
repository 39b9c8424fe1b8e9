"""What a test does by hand at the stand-in for an orchestrator's trickle server."""

import http.client
from typing import Self
from urllib.parse import urlsplit

from emulator.container import DEADLINE_SECONDS
from emulator.trickle import TrickleServer


class Publisher:
    """A POST whose body is sent piece by piece."""

    def __init__(self, url: str, **headers: str) -> None:
        address = urlsplit(url)
        self._connection = http.client.HTTPConnection(address.netloc, timeout=DEADLINE_SECONDS)
        self._connection.putrequest("POST", address.path)
        for name, value in {"Transfer-Encoding": "chunked", **headers}.items():
            self._connection.putheader(name.replace("_", "-"), value)
        self._connection.endheaders()

    def send(self, data: bytes) -> None:
        self._connection.send(b"%x\r\n%b\r\n" % (len(data), data))

    def answer(self) -> http.client.HTTPResponse:
        answer = self._connection.getresponse()
        answer.read()
        return answer

    def end(self) -> http.client.HTTPResponse:
        self._connection.send(b"0\r\n\r\n")
        return self.answer()

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def waits(server: TrickleServer, url: str, index: int) -> bool:
    """Whether somebody has asked for that segment, to write or to read it."""
    return server.channels[url.rpartition("/")[2]].get(index) is not None
