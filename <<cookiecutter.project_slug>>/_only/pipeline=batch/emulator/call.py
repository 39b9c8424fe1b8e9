"""Sends one job to the container, directly or through an orchestrator, and shows the answer."""

import asyncio
import json
import mimetypes
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from aiohttp import ClientResponse, ClientTimeout

from .asking import CallError, asking, base_url, bearer, client
from .via_orchestrator import add_options, locate

BYTES = "application/octet-stream"
PRINTED = ("application/json", "text/")
EVENTS = "text/event-stream"
# Because orchestrators may take a little longer than the job.
MARGIN_SECONDS = 2


async def events(answer: ClientResponse) -> AsyncIterator[tuple[str, str]]:
    """The name, if it has one, and the value of each event, as it arrives.

    A value that is too long for one line comes in `fragment` events. An event may be the
    orchestrator's own: {"balance": ...}. The last line says that the stream is complete: hang up
    then, because the stream may stay open after it (byoc/job_orchestrator.go).
    """
    name, fragments = "", []
    async for line in answer.content:
        text = line.decode().rstrip()
        field, _, value = text.partition(": ")
        if not text:
            name = ""
        elif field == "event":
            name = value
        elif field == "data" and value == "[DONE]":
            return
        elif field == "data" and name == "fragment":
            fragment = json.loads(value)
            fragments.append(fragment["text"])
            if len(fragments) == fragment["count"]:
                yield "", "".join(fragments)
                fragments.clear()
        elif field == "data":
            yield name, value
    raise CallError("the stream of events broke off")


@contextmanager
def opened(result: str | None) -> Iterator[BinaryIO]:
    if not result:
        yield sys.stdout.buffer
        return
    with Path(result).open("wb") as file:
        yield file


async def show(answer: ClientResponse, result: str | None) -> None:
    """Write events line by line, anything else as it is, to the file or to standard output."""
    kind = answer.headers.get("Content-Type", BYTES)
    if kind.startswith(EVENTS):
        await show_events(answer, result)
        return
    if not result and not kind.startswith(PRINTED):
        raise CallError(f"the answer is {kind}: name a file for it")
    whole = await answer.read()
    with opened(result) as target:
        target.write(whole if result else whole + b"\n")


async def show_events(answer: ClientResponse, result: str | None) -> None:
    failure = ""
    with opened(result) as target:
        async for name, value in events(answer):
            target.write(value.encode() + b"\n")
            target.flush()
            failure = value if name == "error" else failure
    if failure:
        raise CallError(f"the job has failed: {failure}")


async def call(options: Namespace, body: bytes, content_type: str) -> None:
    async with client() as http:
        who, url = "the container", f"{options.url}/run"
        headers = {**bearer(options.token), "Content-Type": content_type}
        if options.orchestrator:
            who, url, more = await locate(http, options)
            headers |= more
        timeout = ClientTimeout(total=options.timeout + MARGIN_SECONDS)
        async with asking(http, who, url, data=body, headers=headers, timeout=timeout) as answer:
            await show(answer, options.result)


def main() -> None:
    parser = ArgumentParser("python -m emulator.call", description=__doc__)
    parser.add_argument("job", nargs="?", help="a file; leave it out with --json")
    parser.add_argument("result", nargs="?", help="a file for the answer, else it is printed")
    parser.add_argument("--json", help="the job itself")
    parser.add_argument("--content-type", help="the job's type, if its file name does not tell")
    parser.add_argument("--url", type=base_url, default="http://127.0.0.1:8000", help="job port")
    parser.add_argument("--orchestrator", type=base_url, help="go through this orchestrator")
    parser.add_argument("--token", default="", help="the container's BYOC_AUTH_TOKEN")
    parser.add_argument("--timeout", type=int, default=60, help="seconds for the whole job")
    add_options(parser)
    options = parser.parse_args()
    if options.json is not None:
        if options.result:
            parser.error("name the job's file or --json, not both")
        options.job, options.result = "job.json", options.job
    elif options.job is None:
        parser.error("name a file, or give --json")
    if options.result and not Path(options.result).parent.is_dir():
        parser.error(f"{options.result}: there is no such folder")
    guessed, _ = mimetypes.guess_type(options.job)
    try:
        body = Path(options.job).read_bytes() if options.json is None else options.json.encode()
        asyncio.run(call(options, body, options.content_type or guessed or BYTES))
    except KeyboardInterrupt:
        sys.exit("stopped")
    except (CallError, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
