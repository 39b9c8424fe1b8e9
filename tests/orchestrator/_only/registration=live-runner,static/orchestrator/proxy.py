"""The reverse proxy in front of live runners (server/ai_http.go)."""

import posixpath
from collections.abc import Iterable, Mapping
from urllib.parse import unquote

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, TCPConnector, web

from .addresses import escape, escaped_path, parse_url
from .golang import http_error

KEEP_ALIVE_SECONDS = 90
CONNECT_SECONDS = 30
# Between two hops only, or what the standard library's proxy takes away from callers.
HOP_BY_HOP = (
    *("Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Te", "Trailer"),
    *("Proxy-Authorization", "Transfer-Encoding", "Upgrade"),
)
FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto")
DEFAULTS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
# So much of an answer whose length is known is not sent before there is more, or its end.
HELD_BYTES = 2048


def client() -> ClientSession:
    """Idle connections are used again for 90 s, certificates are verified."""
    return ClientSession(
        connector=TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_SECONDS),
        timeout=ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
        auto_decompress=False,
        skip_auto_headers=DEFAULTS,
    )


def target_path(base: str, app_path: str) -> str:
    """The runner's path and the app's, cleaned and escaped twice; ValueError if what has been
    decoded can't be decoded once more."""
    app = unquote(app_path)
    path = posixpath.normpath(f"/{base.strip('/')}/{app}".replace("//", "/"))
    if app.endswith("/") and path != "/":
        path += "/"
    return escape(escaped_path(path))


def without(headers: Mapping[str, str], names: Iterable[str] = ()) -> list[tuple[str, str]]:
    """Those that go to the other end, except for some."""
    connection = headers.get("Connection", "").split(",")
    dropped = {name.strip().lower() for name in (*HOP_BY_HOP, *connection, *names)}
    return [(name, value) for name, value in headers.items() if name.lower() not in dropped]


async def forward(
    request: web.Request,
    http: ClientSession,
    runner_url: str,
    app_path: str,
    injected: Mapping[str, str],
) -> web.StreamResponse:
    """Any method, both bodies streamed; the status is kept, and 502 says that there is none.

    A caller that leaves takes the request with it. Nothing limits the time of an answer.
    """
    runner = parse_url(runner_url)
    try:
        path = target_path(runner.path, app_path)
    except ValueError as error:
        return http_error(502, str(error))
    url = request.url.build(
        scheme=runner.scheme,
        authority=runner.raw_authority,
        path=path,
        query_string=request.rel_url.raw_query_string,
        encoded=True,
    )
    headers = without(request.headers, ("Host", *FORWARDED, *injected)) + list(injected.items())
    body = request.content if request.can_read_body else None
    try:
        answer = await http.request(
            request.method, url, headers=headers, data=body, allow_redirects=False
        )
    except (ClientError, OSError) as error:
        return http_error(502, str(error) or type(error).__name__)
    async with answer:
        return await relay(request, answer)


async def relay(request: web.Request, answer: ClientResponse) -> web.StreamResponse:
    """Each piece as it comes, except for the first of an answer that says its length; a broken
    answer breaks the caller's connection, with nothing said if all of it was held back."""
    relayed = web.StreamResponse(
        status=answer.status, reason=answer.reason, headers=without(answer.headers)
    )
    flushed = answer.content_length is None or answer.content_type == "text/event-stream"
    held = b""
    try:
        if flushed:
            await relayed.prepare(request)
        async for piece in answer.content.iter_any():
            held += piece
            if flushed or len(held) > HELD_BYTES:
                await relayed.prepare(request)
                await relayed.write(held)
                flushed, held = True, b""
        await relayed.prepare(request)
        await relayed.write(held)
    except (ClientError, OSError):
        request.protocol.force_close()
        if not relayed.prepared:
            raise web.HTTPBadGateway from None  # to nobody
    return relayed
