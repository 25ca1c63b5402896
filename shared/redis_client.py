"""A URL -> a Redis client whose commands can be cancelled at any moment."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection

if TYPE_CHECKING:
    from collections.abc import Iterable


def open_redis(url: str, **options: Any) -> Redis:
    """A client of `redis.asyncio` that does not lose cancellations."""
    client = Redis.from_url(url, **options)
    pool = client.connection_pool
    pool.connection_class = type("CancellableConnection", (_Cancellable, pool.connection_class), {})
    return client


class _Cancellable(AbstractConnection):
    """redis-py sends by `asyncio.wait_for`, which before Python 3.12 swallows a cancellation that
    comes in the moment of its success. A consumer would then read on for ever, and a service that
    was told to stop would hang. (CPython issue 86296.)"""

    async def send_packed_command(
        self, command: bytes | str | Iterable[bytes], check_health: bool = True
    ) -> None:
        task = asyncio.current_task()
        before = task.cancelling() if task else 0
        await super().send_packed_command(command, check_health)
        if task and task.cancelling() > before:
            # The answer will not be read: the connection must not be used again.
            await self.disconnect(nowait=True)
            raise asyncio.CancelledError
