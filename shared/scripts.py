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
def _source(paths: tuple[Path, ...]) -> str:
    """The files' text, after the functions that all clip scripts share."""
    return "\n".join(path.read_text() for path in (SHARED_LUA / "clip.lua", *paths))


def load_script(redis: Redis, *paths: Path) -> AsyncScript:
    """The files as one script, ready to be called; Redis caches it by its digest."""
    return redis.register_script(_source(paths))
