"""dead.v1: what failed too often, and how it gets another chance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ormsgpack

from shared.errors import Conflict, Missing
from shared.messages import ClipReady, LetterDied
from shared.scripts import SHARED_LUA, load_script
from shared.telemetry import current_traceparent
from shared.topics import CLIPS, DEAD, partition_of

if TYPE_CHECKING:
    from shared.blobs import BlobStore
    from shared.bus import Bus


class DeadLetters:
    """The letters on dead.v1."""

    def __init__(self, bus: Bus, blobs: BlobStore) -> None:
        self._bus = bus
        self._blobs = blobs
        self._republish = load_script(bus.redis, SHARED_LUA / "republish.lua")

    async def newest(self, limit: int, before: str | None) -> list[tuple[str, LetterDied]]:
        """Letters with their ids, the newest first. One that was written twice is listed once."""
        until = f"({before}" if before else "+"
        found: Any = await self._bus.redis.xrevrange(DEAD.key(), max=until, count=limit)
        letters: dict[tuple[str, str, str], tuple[str, LetterDied]] = {}
        for entry_id, fields in found:
            letter = LetterDied.unpack(fields[b"body"])
            letters[(letter.stream, letter.group, letter.entry_id)] = (entry_id.decode(), letter)
        return list(letters.values())

    async def replay(self, letter_id: str, ttl_ms: int) -> str:
        """Puts a dead clip's frames back and publishes it for its group; returns the new entry.

        Raises Missing for an unknown letter, or one whose frames are gone; Conflict for a letter
        that is no clip.
        """
        found: Any = await self._bus.redis.xrange(DEAD.key(), letter_id, letter_id)
        if not found:
            raise Missing(f"no dead letter {letter_id!r}", code="unknown_letter")
        letter = LetterDied.unpack(found[0][1][b"body"])
        if letter.message_type != ClipReady.TYPE:
            raise Conflict(
                f"a {letter.message_type} cannot be replayed; its sender repeats it",
                code="not_a_clip",
            )
        clip = ClipReady.unpack(letter.body).model_copy(update={"only": letter.group})
        for key, blob in letter.frames.items():
            await self._bus.frames.set(key, await self._blobs.get(blob), px=ttl_ms)
        partition = partition_of(clip.camera_id, self._bus.partitions)
        job = {
            "partition": partition,
            "clip": clip.model_dump(mode="python", exclude_none=True),
            "group": letter.group.value,
            "traceparent": current_traceparent(),
        }
        entry = await self._republish(keys=[CLIPS.key(partition)], args=[ormsgpack.packb(job)])
        await self._bus.redis.xdel(DEAD.key(), letter_id)
        return str(entry.decode())
