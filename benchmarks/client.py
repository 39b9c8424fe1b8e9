"""Callers on keep-alive connections, each in a process of its own.

They speak as little HTTP as is needed, so that they cost little of what they measure.
"""

import math
import multiprocessing
import re
import socket
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from typing import NamedTuple

POLL_SECONDS = 0.02
LATE_SECONDS = 1.0
# For all processes to be there and connected before the first measured call.
SETTLE_SECONDS = 0.25
LARGEST_ANSWER = 2 * 1024 * 1024
START_BYTES = 4096

HEAD = re.compile(rb"HTTP/1\.1 (\d+)")
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


class Call(NamedTuple):
    """A request; one without a body is a GET.

    The right answer has status 200, at least `least` bytes, and `sign` near its start: some servers
    report failures with status 200.
    """

    path: str
    body: bytes = b""
    content_type: str = "application/json"
    sign: bytes = b""
    least: int = 0

    def encode(self) -> bytes:
        lines = [f"{'POST' if self.body else 'GET'} {self.path} HTTP/1.1", "Host: 127.0.0.1"]
        if self.body:
            lines += [f"Content-Type: {self.content_type}", f"Content-Length: {len(self.body)}"]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


class Connection:
    def __init__(self, port: int, deadline: float) -> None:
        self._deadline = deadline
        self._socket = socket.create_connection(("127.0.0.1", port), self._left())
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answer = memoryview(bytearray(LARGEST_ANSWER))

    def call(self, call: Call, request: bytes) -> bool:
        """Whether the answer is right, once all of it is there; raises OSError when none comes.

        `request` is the call encoded.
        """
        self._socket.settimeout(self._left())
        self._socket.sendall(request)
        size = body = 0
        while not body:
            size += self._receive(size)
            body = self._start(size).find(b"\r\n\r\n") + 1
        head = bytes(self._answer[: body + 1])
        status, length = HEAD.match(head), LENGTH.search(head)
        if not status or not length:
            raise ConnectionError(f"an answer that is not understood: {head!r}")
        while size < body + 3 + int(length[1]):
            size += self._receive(size)
        return status[1] == b"200" and size >= call.least and call.sign in self._start(size)

    def close(self) -> None:
        self._socket.close()

    def _start(self, size: int) -> bytes:
        return bytes(self._answer[: min(size, START_BYTES)])

    def _receive(self, at: int) -> int:
        self._socket.settimeout(self._left())
        size = self._socket.recv_into(self._answer[at:])
        if not size:
            raise ConnectionError("closed by the server")
        return size

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


class Answers(NamedTuple):
    """Seconds that each right answer took; how many were not right."""

    seconds: list[float]
    refused: int


def request_again_and_again(port: int, call: Call, begin: float, end: float) -> Answers:
    answers: list[float] = []
    refused = 0
    request = call.encode()
    while time.monotonic() < end:
        try:
            connection = Connection(port, end)
            sleep_until(begin)
            while True:
                started = time.monotonic()
                if connection.call(call, request):
                    answers.append(time.monotonic() - started)
                else:
                    refused += 1
        except TimeoutError:
            break
        except OSError:
            refused += 1
    return Answers(answers, refused)


def poll(port: int, call: Call, begin: float, end: float) -> list[float]:
    """Seconds from the moment that each poll was due to its answer, infinite when none came."""
    count = int((end - begin) / POLL_SECONDS)
    latencies: list[float] = []
    request = call.encode()
    with suppress(OSError):
        connection = Connection(port, end + LATE_SECONDS)
        for number in range(count):
            due = begin + number * POLL_SECONDS
            sleep_until(due)
            right = connection.call(call, request)
            latencies.append(time.monotonic() - due if right else math.inf)
    return latencies + [math.inf] * (count - len(latencies))


def sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


class Load(NamedTuple):
    """What `clients` callers and the pollers saw in the same `seconds`."""

    answers: Answers
    polls: list[list[float]]


def measure(
    port: int, job: Call, clients: int, seconds: float, pollers: list[tuple[int, Call]]
) -> Load:
    begin = time.monotonic() + SETTLE_SECONDS
    end = begin + seconds
    fork = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(clients + len(pollers), mp_context=fork) as pool:
        # Pollers take turns: two ports of one server asked at once would wait for each other.
        turn = POLL_SECONDS / max(1, len(pollers))
        polls = [
            pool.submit(poll, *poller, begin + number * turn, end)
            for number, poller in enumerate(pollers)
        ]
        callers = [
            pool.submit(request_again_and_again, port, job, begin, end) for _ in range(clients)
        ]
        seen = [caller.result() for caller in callers]
        answers = Answers(
            [second for one in seen for second in one.seconds], sum(one.refused for one in seen)
        )
        return Load(answers, [one.result() for one in polls])
