"""`python -I -m <package>.runtime.ops.probe /health` exits with 0 if the ops port answers 200.

Health checks start it every few seconds, so it imports little. It does without urllib, because that
would send the request to a proxy named in the environment.
"""

import os
import sys
from http.client import HTTPConnection, HTTPException

LOOPBACK = "127.0.0.1"
EVERY_ADDRESS = ("0.0.0.0", "::")
ANSWER_SECONDS = 2


def ask(host: str, port: int, path: str) -> tuple[int, bytes]:
    """The status and the body. `host` is where the server listens.

    Raises OSError or HTTPException.
    """
    address = LOOPBACK if host in EVERY_ADDRESS else host
    connection = HTTPConnection(address, port, timeout=ANSWER_SECONDS)
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read()


def main() -> None:
    host = os.environ.get("BYOC_HOST") or LOOPBACK
    port = int(os.environ.get("BYOC_OPS_PORT") or 8001)
    try:
        status, body = ask(host, port, sys.argv[1])
    except (OSError, HTTPException) as error:
        sys.exit(f"no answer from {host}, port {port}: {error!r}")
    if status != 200:
        sys.exit(body.decode())


if __name__ == "__main__":
    main()
