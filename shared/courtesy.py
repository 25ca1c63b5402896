"""Clips that wait for their outcomes, or an outage -> training stands still until it is over."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from redis import Redis
from redis.exceptions import RedisError

from shared.patience import OUTAGES
from shared.topics import PartitionKeys

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.jobs import JobContext
    from shared.settings import FloorSettings
    from shared.topics import Group

Found = TypeVar("Found")

LOOKS_EVERY_S = 2.0


class Courtesy:
    """A niced process yields its cores, and still takes its share of the memory's bandwidth.

    group: whose clips come first. waits_at: so many that are open hold training up.
    """

    def __init__(self, settings: FloorSettings, group: Group, waits_at: int) -> None:
        self._redis = Redis.from_url(settings.bus_url)
        self._open = [
            PartitionKeys(partition).open(group) for partition in range(settings.bus_partitions)
        ]
        self._waits_at = waits_at
        self._looked_at = float("-inf")

    def yield_to_clips(self, context: JobContext) -> None:
        """Returns at once where nothing lags, or nobody knows. Raises JobCancelled."""
        if time.monotonic() - self._looked_at < LOOKS_EVERY_S:
            return
        note = context.note
        while self._lag() >= self._waits_at:
            context.note = "stands still: clips wait for their outcomes"
            context.checkpoint()
            time.sleep(LOOKS_EVERY_S)
        context.note = note
        self._looked_at = time.monotonic()

    def close(self) -> None:
        self._redis.close()

    def _lag(self) -> int:
        try:
            return sum(int(self._redis.zcard(key)) for key in self._open)
        except RedisError:
            return 0


def patiently(act: Callable[[], Found], context: JobContext) -> Found:
    """Hours of work are not lost to an outage of Redis or the blob store. Raises JobCancelled."""
    while True:
        try:
            return act()
        except OUTAGES as error:
            context.note = f"waits: {error}"[:256]
            context.checkpoint()
            time.sleep(1)
