"""What callers of live runners ask an orchestrator for, and runners that are called."""

import hmac
import re
from typing import Any

from aiohttp import ClientSession, web

from . import proxy
from .addresses import add_slash
from .golang import Converter, RefusedError, string, strings, struct, unmarshal
from .node import Node
from .runner_spec import PERSISTENT, SINGLE_SHOT
from .runners import Runner, Runners

MOST_CHANNELS = 25
CHANNEL = struct({"name": string, "mime_type": string})


def objects(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list | None):
        raise ValueError("no list")
    return [CHANNEL(item) for item in value or []]


CREATION = struct({"channels": objects})
DELETION = struct({"channels": strings})


class Apps:
    """Reservations and calls, and the callbacks of sessions (server/ai_http.go).

    `http` calls the runners.
    """

    http: ClientSession

    def __init__(self, node: Node, runners: Runners) -> None:
        self._node = node
        self._runners = runners

    def routes(self) -> list[web.RouteDef]:
        session, once = "/apps/{runner}/session/{session}", "/apps/{runner}/app"
        callback = "/runner/{runner}/session/{session}"
        return [
            web.get("/discovery", self._discovery, allow_head=False),
            web.post("/apps/{runner}/session", self._reserve),
            web.post(f"{session}/stop", self._stop_by_caller),
            web.route("*", f"{session}/app", add_slash),
            web.route("*", f"{session}/app/{{path:.*}}", self._call_session),
            web.route("*", once, add_slash),
            web.route("*", f"{once}/{{path:.*}}", self._call_once),
            web.post(f"{callback}/channels", self._create_channels),
            web.delete(f"{callback}/channels", self._delete_channels),
            web.post(f"{callback}/stop", self._stop_by_runner),
        ]

    async def _discovery(self, _: web.Request) -> web.Response:
        """Only what is ready is shown, and keys without a value are left out."""
        shown = [it for it in self._runners if it.ready and not self._runners.expired(it)]
        runners = [it.discovered(self._node.service_url) for it in shown]
        entry: dict[str, Any] = {"address": self._node.service_url}
        return web.json_response([entry | ({"runners": runners} if runners else {})])

    async def _reserve(self, request: web.Request) -> web.Response:
        runner = self._runners.ready(request)
        if runner.spec["mode"] != PERSISTENT:
            raise RefusedError(400, "only persistent runners have sessions")
        session = runner.reserve()
        self._node.report(f"session {session} reserved at {runner.id}")
        url = f"{self._node.service_url}/apps/{runner.route}/session/{session}"
        return web.json_response(
            {"session_id": session, "app_url": f"{url}/app", "control_url": url}
        )

    async def _stop_by_caller(self, request: web.Request) -> web.Response:
        """Also of a runner that is not ready, or of a session that has ended."""
        self._runners.release(self._runners.known(request), request.match_info["session"])
        return web.Response(status=204)

    async def _call_session(self, request: web.Request) -> web.StreamResponse:
        runner, session = self._runners.session(request)
        return await self._forward(request, runner, session)

    async def _call_once(self, request: web.Request) -> web.StreamResponse:
        """The slot is held for the request."""
        runner = self._runners.ready(request)
        if runner.spec["mode"] != SINGLE_SHOT:
            raise RefusedError(400, "runner is not single-shot")
        session = runner.reserve()
        try:
            return await self._forward(request, runner, session)
        finally:
            self._runners.release(runner, session)

    async def _forward(
        self, request: web.Request, runner: Runner, session: str
    ) -> web.StreamResponse:
        path = request.rel_url.raw_path.split("/app/", 1)[1]
        callback = f"{self._node.runner_url}/runner/{runner.route}/session/{session}"
        headers = {
            "Livepeer-Runner-Route": runner.route,
            "Livepeer-Session-Id": session,
            "Livepeer-Session-Token": runner.session_token(session),
            "Livepeer-Session-Control": callback,
        }
        runner_url = runner.spec["runner_url"]
        answer = await proxy.forward(request, self.http, runner_url, path, headers)
        self._node.report(f"{request.method} /{path} for {session}: {answer.status}")
        return answer

    def _called_back(self, request: web.Request) -> tuple[Runner, str]:
        """404 for what is unknown or not ready, 401 for a wrong token."""
        runner, session = self._runners.session(request)
        token = request.headers.get("Livepeer-Session-Token", "")
        check(token, runner.session_token(session), "invalid authorization")
        return runner, session

    async def _create_channels(self, request: web.Request) -> web.Response:
        """Makes 1 to 25, and the same again for names that there are, or were until
        their channel was deleted or swept."""
        runner, session = self._called_back(request)
        wanted = await _channels(request, CREATION)
        made = [self._create(runner, session, **channel) for channel in wanted]
        return web.json_response({"channels": made})

    def _create(self, runner: Runner, session: str, name: str, mime_type: str) -> dict[str, str]:
        """`internal_url` is for the container, `url` for its caller."""
        name, channels = _channel_name(name), runner.sessions[session].channels
        if name not in channels:
            channel = f"{session}-{name}"
            mime_type = mime_type if mime_type.strip() else "application/octet-stream"
            internal = self._node.trickle.create(channel, mime_type)
            public = f"{self._node.service_url}/ai/trickle/{channel}"
            channels[name] = {
                "name": name,
                "channel_name": channel,
                "url": public,
                "internal_url": internal,
                "mime_type": mime_type,
            }
        return channels[name]

    async def _delete_channels(self, request: web.Request) -> web.Response:
        """The session keeps one that has gone in another way."""
        runner, session = self._called_back(request)
        names, channels = await _channels(request, DELETION), runner.sessions[session].channels
        for name in map(_channel_name, names):
            if name not in channels:
                raise RefusedError(404, "trickle channel not found")
            if not self._node.trickle.close_channel(channels[name]["channel_name"]):
                raise RefusedError(500, "Invalid stream")
            del channels[name]
        return web.json_response({"deleted": names})

    async def _stop_by_runner(self, request: web.Request) -> web.Response:
        self._runners.release(*self._called_back(request))
        return web.Response(status=204)


def check(secret: str, right: str, message: str) -> None:
    if not hmac.compare_digest(secret.encode(), right.encode()):
        raise RefusedError(401, message)


async def _channels(request: web.Request, convert: Converter) -> list[Any]:
    try:
        body = unmarshal(await request.read(), convert, stream=True)
    except ValueError as error:
        raise RefusedError(400, str(error)) from None
    channels: list[Any] = body["channels"]
    if not channels:
        raise RefusedError(400, "channels is required")
    if len(channels) > MOST_CHANNELS:
        raise RefusedError(400, f"channels cannot contain more than {MOST_CHANNELS} entries")
    return channels


def _channel_name(name: str) -> str:
    name = name.strip().replace("/", "-")
    if not name:
        raise RefusedError(400, "trickle channel name is required")
    if not re.fullmatch("[A-Za-z0-9_-]+", name):
        rule = "may only contain alphanumerics, underscores, or hyphens"
        raise RefusedError(400, f"trickle channel name {rule}")
    return name
