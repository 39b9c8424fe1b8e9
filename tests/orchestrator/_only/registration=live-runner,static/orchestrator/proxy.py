"""The reverse proxy in front of live runners (contract §5.3)."""

import posixpath
from collections.abc import Iterable, Mapping
from urllib.parse import quote, unquote, urlsplit

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, TCPConnector, web

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


def client() -> ClientSession:
    """Idle connections are used again for 90 s, certificates are verified (contract §5.3)."""
    return ClientSession(
        connector=TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_SECONDS),
        timeout=ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
        auto_decompress=False,
        skip_auto_headers=DEFAULTS,
    )


def target_path(runner_url: str, app_path: str) -> str:
    """The runner's path and the app's, decoded and cleaned (contract §5.3)."""
    joined = unquote(f"{urlsplit(runner_url).path}/{app_path}")
    path = posixpath.normpath("/" + joined.lstrip("/"))
    if joined.endswith("/") and path != "/":
        path += "/"
    return quote(path, safe="/:@!$&'()*+,;=")


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
    url = request.url.build(
        scheme=urlsplit(runner_url).scheme,
        authority=urlsplit(runner_url).netloc,
        path=target_path(runner_url, app_path),
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
    """Each piece as it comes; a broken answer breaks the caller's connection."""
    relayed = web.StreamResponse(
        status=answer.status, reason=answer.reason, headers=without(answer.headers)
    )
    await relayed.prepare(request)
    try:
        async for piece in answer.content.iter_any():
            await relayed.write(piece)
    except (ClientError, OSError):
        request.protocol.force_close()
    return relayed
