"""A path of this container's own server -> exit code 0 where it answers 200 within five seconds.

What a container's health check runs: the standard library alone, so that it costs little.
"""

from __future__ import annotations

import os
import sys
from http.client import HTTPConnection

PATIENCE_S = 5


def answers(path: str, port: int) -> bool:
    """Whether GET path is answered with 200. Raises OSError where nobody listens."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    if response.status != 200:
        # Docker keeps what a check says: `docker inspect` then shows why a service is not ready.
        sys.stderr.write(body.decode(errors="replace"))
    return response.status == 200


if __name__ == "__main__":
    path = sys.argv[1] if len(sys.argv) > 1 else "/livez"
    sys.exit(0 if answers(path, int(os.environ["PORT"])) else 1)
