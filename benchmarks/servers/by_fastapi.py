"""Two containers as they are written by hand, the model in the server's own process."""

# mypy: disable-error-code="import-not-found, untyped-decorator"

from typing import Annotated

from benchmarks.servers.behaviour import Order, act
from fastapi import Depends, FastAPI, Request, Response

BINARY = "application/octet-stream"

on_loop = FastAPI()
on_threads = FastAPI()


async def read_body(request: Request) -> bytes:
    body: bytes = await request.body()
    return body


@on_loop.get("/health")
@on_threads.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@on_loop.post("/run")
async def run_on_loop(order: Order) -> Order:
    return act(order)


@on_loop.post("/frame")
async def frame_on_loop(body: Annotated[bytes, Depends(read_body)]) -> Response:
    return Response(body, media_type=BINARY)


@on_threads.post("/run")
def run_on_thread(order: Order) -> Order:
    return act(order)


@on_threads.post("/frame")
def frame_on_thread(body: Annotated[bytes, Depends(read_body)]) -> Response:
    return Response(body, media_type=BINARY)
