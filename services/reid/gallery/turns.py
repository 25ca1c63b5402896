"""Many read at once, or one writes: for an index that must not change while it is searched."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

T = TypeVar("T")


class Turns:
    """Work in threads. Who leaves does not end what their thread has begun: the turn lasts until
    the thread is through."""

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._readers = 0
        self._writes = False
        self._writers_waiting = 0

    async def read(self, work: Callable[[], T]) -> T:
        return await asyncio.shield(asyncio.ensure_future(self._read(work)))

    async def write(self, work: Callable[[], T]) -> T:
        """A writer that waits goes before readers that come after it."""
        return await asyncio.shield(asyncio.ensure_future(self._write(work)))

    async def _read(self, work: Callable[[], T]) -> T:
        async with self._changed:
            await self._changed.wait_for(lambda: not self._writes and not self._writers_waiting)
            self._readers += 1
        try:
            return await asyncio.to_thread(work)
        finally:
            async with self._changed:
                self._readers -= 1
                self._changed.notify_all()

    async def _write(self, work: Callable[[], T]) -> T:
        async with self._alone():
            return await asyncio.to_thread(work)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        async with self._changed:
            self._writers_waiting += 1
            try:
                await self._changed.wait_for(lambda: not self._writes and not self._readers)
                self._writes = True
            finally:
                self._writers_waiting -= 1
        try:
            yield
        finally:
            async with self._changed:
                self._writes = False
                self._changed.notify_all()
