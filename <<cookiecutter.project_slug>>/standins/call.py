"""Sends one job to the container, or to an orchestrator that offers it, and shows the answer."""

import asyncio
import json
import mimetypes
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

from aiohttp import ClientResponse, ClientTimeout

from .asking import CallError, asking, base_url, bearer, client
from .door import add_options, locate

BYTES = "application/octet-stream"
PRINTED = ("application/json", "text/")
EVENTS = "text/event-stream"
# Orchestrators may take a little longer than the job.
MARGIN_SECONDS = 5


async def events(answer: ClientResponse) -> AsyncIterator[tuple[str, str]]:
    """The name, if it has one, and the value of each, as it comes.

    A value that is too long for one line comes in `fragment` events. Only with the last line it
    is certain that nothing is missing: the stream stays open after it (contract §2.6).
    """
    name, fragments = "", []
    async for line in answer.content:
        field, _, value = line.decode().rstrip().partition(": ")
        if field == "event":
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
        elif not field:
            name = ""
    raise CallError("the stream of events was broken off")


async def show(answer: ClientResponse, result: str | None) -> None:
    """Events line by line, anything else as it is; printed if there is no file for it."""
    kind = answer.headers.get("Content-Type", BYTES)
    if not result and not kind.startswith(PRINTED):
        raise CallError(f"the answer is {kind}: name a file for it")
    with ExitStack() as stack:
        target = stack.enter_context(Path(result).open("wb")) if result else sys.stdout.buffer
        if not kind.startswith(EVENTS):
            target.write(await answer.read() + b"\n" * (not result))
            return
        failure = ""
        async for name, value in events(answer):
            target.write(value.encode() + b"\n")
            target.flush()
            failure = value if name == "error" else failure
        if failure:
            raise CallError(f"the job has failed: {failure}")


async def call(options: Namespace, body: bytes, content_type: str) -> None:
    async with client() as http:
        who, url, headers = "the container", f"{options.url}/run", {}
        if options.orchestrator:
            who = "the orchestrator"
            url, headers = await locate(http, options)
        headers = {**headers, **bearer(options.token), "Content-Type": content_type}
        timeout = ClientTimeout(total=options.timeout + MARGIN_SECONDS)
        async with asking(http, who, url, data=body, headers=headers, timeout=timeout) as answer:
            await show(answer, options.result)


def main() -> None:
    parser = ArgumentParser("python -m standins.call", description=__doc__)
    parser.add_argument("job", nargs="?", help="a file; leave it out with --json")
    parser.add_argument("result", nargs="?", help="a file for the answer, else it is printed")
    parser.add_argument("--json", help="the job itself")
    parser.add_argument("--content-type", help="of the job, if its name does not tell")
    parser.add_argument("--url", type=base_url, default="http://127.0.0.1:8000", help="its port")
    parser.add_argument("--orchestrator", type=base_url, help="its address, to go through it")
    parser.add_argument("--token", default="", help="that of BYOC_AUTH_TOKEN")
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
    except CallError as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"{error.filename}: {error.strerror}")


if __name__ == "__main__":
    main()
