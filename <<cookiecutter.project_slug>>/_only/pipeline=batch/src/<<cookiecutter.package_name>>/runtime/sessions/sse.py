"""Server-sent events in the form that go-livepeer's relay needs.

The relay reads line by line, gives up silently on a line of 65,536 bytes, and takes any line that
contains `[DONE]` for the end of the stream; a stream without that end is relayed as an endless
flood of newlines (go-livepeer `byoc/job_orchestrator.go`).
"""

import json
from collections.abc import Iterator

MAX_LINE_BYTES = 65_535
DONE = b"data: [DONE]\n\n"

# In a JSON string a character of ASCII text takes 2 bytes at most, and the rest of the line 100.
FRAGMENT_CHARACTERS = 32_000


def events(data: bytes, name: bytes = b"") -> Iterator[bytes]:
    """One JSON value, in ASCII, as one event, or as `fragment` events when a line can't hold it.

    The caller joins the `text` of all `count` fragments and parses the result.
    """
    line = b"data: " + data.replace(b"[DONE]", rb"\u005bDONE]")
    if len(line) <= MAX_LINE_BYTES:
        yield (b"event: " + name + b"\n" if name else b"") + line + b"\n\n"
        return
    text = data.decode("ascii")
    count = -(-len(text) // FRAGMENT_CHARACTERS)
    for index in range(count):
        piece = text[index * FRAGMENT_CHARACTERS : (index + 1) * FRAGMENT_CHARACTERS]
        fragment = {"index": index, "count": count, "text": piece}
        yield from events(json.dumps(fragment).encode(), b"fragment")
