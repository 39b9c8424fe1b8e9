"""What Go's standard library does with addresses: it parses, escapes and cleans them."""

import posixpath
import re
from urllib.parse import quote, unquote_to_bytes, urlsplit

from aiohttp import web
from yarl import URL

# Orchestrators that are built with Go up to 1.25; from 1.26 on it is a 307.
REDIRECT = 301
UNESCAPED = "$&+,/:;=@"  # beside letters, digits and -_.~
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
BAD_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2}).{0,2}")
VALID_PATH = re.compile(r"[A-Za-z0-9\-_.~!$&'()*+,;=:@/\[\]%]*")
# User info, a host name or IPv6 address, and a port. Go also accepts some impossible names.
AUTHORITY = re.compile(
    r"([A-Za-z0-9\-_.~!$&'()*+,;=:%@]*@)?"
    r"(\[[0-9A-Fa-f:.]+\]|[^\x00-\x20\x7f#%/:?@\[\\\]^`{|}]*)(:[0-9]*)?"
)


def parse_url(text: str) -> URL:
    """As url.Parse, to be asked for as it is; ValueError for what Go can't parse either."""
    parts = urlsplit(text)
    if CONTROL.search(text):
        raise ValueError(f"parse {text!r}: net/url: invalid control character in URL")
    if text.startswith(" ") or (not parts.scheme and ":" in parts.path.partition("/")[0]):
        raise ValueError(f"parse {text!r}: first path segment in URL cannot contain colon")
    if not AUTHORITY.fullmatch(parts.netloc):
        raise ValueError(f"parse {text!r}: invalid character or port in host name")
    return URL(parts._replace(path=escaped_path(parts.path)).geturl(), encoded=True)


def is_absolute(text: str) -> bool:
    """Whether url.ParseRequestURI finds HTTP and a host in it; it knows no fragments."""
    try:
        url = parse_url(text)
    except ValueError:
        return False
    return url.scheme in ("http", "https") and bool(url.raw_authority) and "#" not in text


def escape(path: str | bytes) -> str:
    return quote(path, safe=UNESCAPED)


def escaped_path(path: str) -> str:
    """As URL.EscapedPath: what is valid stays as it is, the rest is escaped anew."""
    if wrong := BAD_ESCAPE.search(path):
        raise ValueError(f'invalid URL escape "{wrong[0]}"')
    return path if VALID_PATH.fullmatch(path) else escape(unquote_to_bytes(path))


def redirection(request: web.Request) -> web.Response | None:
    """As ServeMux, which sends callers to the path without `//`, `.` and `..`."""
    path = request.rel_url.raw_path
    clean = posixpath.normpath("/" + path.lstrip("/"))
    if path.endswith("/") and clean != "/":
        clean += "/"
    return None if clean == path else _redirect(request, clean)


async def add_slash(request: web.Request) -> web.Response:
    """The path without its slash is redirected, whatever the method."""
    return _redirect(request, f"{request.rel_url.raw_path}/")


def _redirect(request: web.Request, path: str) -> web.Response:
    query = request.rel_url.raw_query_string
    location = f"{path}?{query}" if query else path
    return web.Response(status=REDIRECT, headers={"Location": location})
