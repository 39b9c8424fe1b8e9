"""Clients that keep a server busy on connections that they keep."""

import threading
import uuid
from http.client import HTTPConnection, HTTPException

from image.engine import Container

PAUSE_SECONDS = 0.02


class Load:
    """`clients` threads send the job again and again until `finish`.

    `results` maps each request's id to its status, or to the error that took the answer's place.
    """

    def __init__(self, target: Container, job: bytes, clients: int) -> None:
        self.results: dict[str, int | str] = {}
        self._target = target
        self._job = job
        self._finished = threading.Event()
        self._threads = [threading.Thread(target=self._send) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def count(self, status: int) -> int:
        return list(self.results.values()).count(status)

    def finish(self) -> None:
        self._finished.set()
        for thread in self._threads:
            thread.join()

    def _send(self) -> None:
        connection = self._target.connect()
        while not self._finished.is_set():
            name = uuid.uuid4().hex
            try:
                self.results[name] = exchange(connection, self._job, name)
            except ConnectionRefusedError:
                break  # nobody listens any more
            except (OSError, HTTPException) as error:
                self.results[name] = repr(error)
                connection.close()
            if self.results[name] != 200:
                self._finished.wait(PAUSE_SECONDS)
        connection.close()


def exchange(connection: HTTPConnection, job: bytes, name: str) -> int:
    headers = {"Content-Type": "application/json", "X-Request-Id": name}
    connection.request("POST", "/run", job, headers)
    answer = connection.getresponse()
    answer.read()
    return answer.status
