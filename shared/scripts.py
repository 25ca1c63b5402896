"""Lua files -> scripts that Redis runs atomically."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from redis.commands.core import AsyncScript

SHARED_LUA = Path(__file__).parent / "lua"


@cache
def _source(path: Path) -> str:
    """The script's text after the functions that all clip scripts share."""
    return (SHARED_LUA / "clip.lua").read_text() + "\n" + path.read_text()


def load_script(redis: Redis, path: Path) -> AsyncScript:
    """The script, ready to be called with keys and arguments; Redis caches it by its digest."""
    return redis.register_script(_source(path))
