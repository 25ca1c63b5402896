"""What a stateless worker must remember of a camera: a versioned value in Redis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from redis.exceptions import WatchError

from shared.topics import CameraKeys, partition_of

if TYPE_CHECKING:
    from shared.bus import Bus

TTL_S = 7 * 24 * 3600


@dataclass(frozen=True)
class Remembered:
    """value None: nothing yet. version: the place (born, seq) of the clip that left it."""

    value: bytes | None
    version: tuple[int, int]


class CameraMemory:
    """One noun of every camera's memory, such as the background model.

    Workers take clips in any order, so a value is replaced only by that of a later clip; the result
    of an earlier one stands, its lesson is dropped.
    """

    def __init__(self, bus: Bus, noun: str) -> None:
        self._bus = bus
        self._noun = noun

    async def recall(self, camera_id: str) -> Remembered:
        raw: Any = await self._bus.redis.hmget(self._key(camera_id), "value", "born", "seq")
        value, born, seq = raw
        return Remembered(value, (int(born or 0), int(seq or -1)))

    async def keep(
        self, camera_id: str, value: bytes, version: tuple[int, int], known: Remembered
    ) -> bool:
        """False where the memory is of a later clip, or has changed since it was recalled."""
        if version <= known.version:
            return False
        key = self._key(camera_id)
        async with self._bus.redis.pipeline() as pipe:
            await pipe.watch(key)
            now: Any = await pipe.hmget(key, "born", "seq")
            if (int(now[0] or 0), int(now[1] or -1)) != known.version:
                return False
            pipe.multi()  # type: ignore[no-untyped-call]
            pipe.hset(key, mapping={"value": value, "born": version[0], "seq": version[1]})
            pipe.expire(key, TTL_S)
            try:
                await pipe.execute()
            except WatchError:
                return False
        return True

    def _key(self, camera_id: str) -> str:
        partition = partition_of(camera_id, self._bus.partitions)
        return CameraKeys(camera_id, partition).memory(self._noun)
