"""A live container by hand: the SDK's MediaOutput and MediaPublish, the model in between."""

# mypy: disable-error-code="import-not-found, import-untyped, misc, untyped-decorator"

import asyncio
from typing import Any

from av import VideoFrame
from fastapi import FastAPI
from livepeer_gateway import MediaOutput, MediaPublish, MediaPublishConfig, VideoOutputConfig

app = FastAPI()
running: set[asyncio.Task[None]] = set()


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/stream/start")
async def start(body: dict[str, Any]) -> dict[str, str]:
    task = asyncio.create_task(stream(body["subscribe_url"], body["publish_url"]))
    running.add(task)
    return {"status": "started"}


async def stream(subscribe_url: str, publish_url: str) -> None:
    video = VideoOutputConfig(fps=30, keyframe_interval_s=1)
    output = MediaPublish(publish_url, config=MediaPublishConfig(tracks=[video]))
    async for item in MediaOutput(subscribe_url).frames():
        if item.kind == "video":
            picture = VideoFrame.from_ndarray(item.frame.to_ndarray(format="rgb24"), "rgb24")
            picture.pts, picture.time_base = item.frame.pts, item.frame.time_base
            await output.write_frame(picture)
    await output.close()
