"""`python -m benchmarks.viewers PORT STREAMS WIDTHxHEIGHT SECONDS [PID SECOND SIGNAL]`.

Plays the other end of live streams at 30 frames a second: publishes the clip of a generated
repository in real time and watches what comes back. Prints one line of JSON: for each stream the
frames that were sent and came back, the milliseconds from the one to the other, and the events.
"""

# mypy: disable-error-code="import-not-found, import-untyped, misc"

import asyncio
import itertools
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator

import aiohttp

from emulator.trickle import TrickleServer
from streaming import Clip, bunny

RATE = 30
LAST_SECONDS = 8
KEYS = {
    "subscribe_url": "video/mp2t",
    "publish_url": "video/mp2t",
    "control_url": "application/json",
    "events_url": "application/json",
}
TS_BYTES = 188


def frame_times(data: bytes) -> list[int]:
    """The times, in 1/90000 s, of the pictures that begin in these whole MPEG-TS packets."""
    found = []
    for start in range(0, len(data), TS_BYTES):
        packet = data[start : start + TS_BYTES]
        if not packet[1] & 0x40:
            continue
        payload = 4 + (1 + packet[4] if packet[3] & 0x20 else 0)
        if packet[payload : payload + 3] == b"\0\0\1" and 0xE0 <= packet[payload + 3] <= 0xEF:
            b = packet[payload + 9 : payload + 14]
            high = (b[0] >> 1 & 7) * 2**30
            found.append(high + (b[1] * 128 + (b[2] >> 1)) * 2**15 + b[3] * 128 + (b[4] >> 1))
    return found


class Stream:
    def __init__(self, trickle: TrickleServer, name: str) -> None:
        self.name = name
        self.sent: dict[int, float] = {}
        self.seen: dict[int, float] = {}
        self.events: list[dict[str, object]] = []
        self.urls = {key: trickle.create(f"{name}-{key[:4]}", kind) for key, kind in KEYS.items()}

    async def play(self, http: aiohttp.ClientSession, port: int, clip: Clip) -> None:
        watching = [asyncio.create_task(self._watch(http)), asyncio.create_task(self._listen(http))]
        body = {"gateway_request_id": self.name, **self.urls}
        headers = {"X-Stream-Id": self.name}
        url = f"http://127.0.0.1:{port}/stream/start"
        async with http.post(url, json=body, headers=headers) as answer:
            answer.raise_for_status()
        started = time.monotonic()
        for number, segment in enumerate(clip):
            content = self._paced(started, segment)
            async with http.post(f"{self.urls['subscribe_url']}/{number}", data=content):
                pass
        async with http.delete(self.urls["subscribe_url"]):
            pass
        await asyncio.wait(watching, timeout=LAST_SECONDS)
        for task in watching:
            task.cancel()

    async def _paced(
        self, started: float, segment: list[tuple[float, bytes]]
    ) -> AsyncIterator[bytes]:
        for seconds, data in segment:
            await asyncio.sleep(started + seconds - time.monotonic())
            yield data
            for moment in frame_times(data):
                self.sent[moment] = time.monotonic()

    async def _watch(self, http: aiohttp.ClientSession) -> None:
        rest = b""
        async for data in self._segments(http, "publish_url"):
            now = time.monotonic()
            data = rest + data
            whole = len(data) - len(data) % TS_BYTES
            rest = data[whole:]
            for moment in frame_times(data[:whole]):
                self.seen.setdefault(moment, now)

    async def _listen(self, http: aiohttp.ClientSession) -> None:
        async for data in self._segments(http, "events_url"):
            self.events.append(json.loads(data)["event"])

    async def _segments(self, http: aiohttp.ClientSession, key: str) -> AsyncIterator[bytes]:
        number = 0
        while True:
            async with http.get(f"{self.urls[key]}/{number}") as answer:
                if answer.status == 470:
                    number = int(answer.headers["Lp-Trickle-Latest"])
                    continue
                if answer.status != 200 or "Lp-Trickle-Closed" in answer.headers:
                    return
                async for data in answer.content.iter_any():
                    yield data
            number += 1

    def result(self) -> dict[str, object]:
        both = sorted(self.sent.keys() & self.seen.keys())
        moments = sorted(self.seen.values())
        pauses = [after - before for before, after in itertools.pairwise(moments)]
        return {
            "sent": len(self.sent),
            "seen": len(self.seen),
            "milliseconds": [round(1000 * (self.seen[m] - self.sent[m]), 2) for m in both],
            "longest_pause": round(max(pauses, default=0), 3),
            "events": self.events,
        }


async def main() -> None:
    port, streams, size, seconds, *kill = sys.argv[1:]
    width, height = map(int, size.split("x"))
    clip = bunny(size=(width, height), rate=RATE, frames=int(seconds) * RATE, audio=False)
    timeout = aiohttp.ClientTimeout(total=None)
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        TrickleServer() as trickle,
        aiohttp.ClientSession(timeout=timeout, connector=connector) as http,
    ):
        playing = [Stream(trickle, f"bench-{number}") for number in range(int(streams))]
        if kill:
            pid, moment, number = kill
            asyncio.get_running_loop().call_later(
                float(moment), os.kill, int(pid), getattr(signal, number)
            )
        await asyncio.gather(*(stream.play(http, int(port), clip) for stream in playing))
        print(json.dumps([stream.result() for stream in playing]))


if __name__ == "__main__":
    asyncio.run(main())
