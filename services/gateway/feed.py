"""events.v1 -> every listening dashboard, with what it missed while it was away."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog
from redis.exceptions import RedisError

from shared.messages import EventRaised
from shared.topics import EVENTS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shared.bus import Bus
    from shared.health import Vital

log = structlog.get_logger(__name__)

QUEUE_LENGTH = 512
REPLAY_PAGE = 500


@dataclass(frozen=True)
class Event:
    """An event and its place in the stream, which is its SSE id."""

    id: str
    raised: EventRaised


@dataclass(eq=False)
class _Listener:
    queue: asyncio.Queue[Event | None] = field(default_factory=lambda: asyncio.Queue(QUEUE_LENGTH))


class Feed:
    """One reader of events.v1 for all listeners of this gateway."""

    def __init__(self, bus: Bus, vital: Vital) -> None:
        self._bus = bus
        self._vital = vital
        self._listeners: set[_Listener] = set()

    async def run(self) -> None:
        """Until cancelled. While Redis is away, listeners wait and miss nothing."""
        last: str | None = None
        while True:
            try:
                if last is None:
                    last = await self._newest()
                reply: Any = await self._bus.waiting.xread(
                    {EVENTS.key(): last}, count=100, block=1_000
                )
                for _, entries in reply or []:
                    for entry_id, fields in entries:
                        last = entry_id.decode()
                        self._spread(Event(last, EventRaised.unpack(fields[b"body"])))
                self._vital.well()
            except RedisError as error:
                self._vital.ailing(f"bus: {error}")
                await asyncio.sleep(0.5)

    async def listen(self, after: str | None) -> AsyncIterator[Event | None]:
        """Events from behind the id `after` (None: from now on), without an end.

        First yields None where the stream no longer reaches back to `after`: the listener should
        read the lists anew. Ends for a listener that is too slow: it may come back with its id.
        """
        listener = _Listener()
        self._listeners.add(listener)
        try:
            if after is not None:
                if not await self._reaches_back_to(after):
                    yield None
                async for event in self._replay(after):
                    after = event.id
                    yield event
            while (event_or_end := await listener.queue.get()) is not None:
                # What came while we were replaying may have been replayed.
                if after is None or _order(event_or_end.id) > _order(after):
                    yield event_or_end
        finally:
            self._listeners.discard(listener)

    def _spread(self, event: Event) -> None:
        for listener in list(self._listeners):
            if listener.queue.full():
                log.warning("slow_listener_dropped")
                self._listeners.discard(listener)
                while not listener.queue.empty():
                    listener.queue.get_nowait()
                listener.queue.put_nowait(None)
            else:
                listener.queue.put_nowait(event)

    async def _newest(self) -> str:
        reply: Any = await self._bus.redis.xrevrange(EVENTS.key(), count=1)
        return str(reply[0][0].decode()) if reply else "0-0"

    async def _reaches_back_to(self, entry_id: str) -> bool:
        oldest: Any = await self._bus.redis.xrange(EVENTS.key(), count=1)
        return bool(oldest) and _order(oldest[0][0].decode()) <= _order(entry_id)

    async def _replay(self, after: str) -> AsyncIterator[Event]:
        while True:
            reply: Any = await self._bus.redis.xrange(
                EVENTS.key(), min=f"({after}", count=REPLAY_PAGE
            )
            for entry_id, fields in reply:
                after = entry_id.decode()
                yield Event(after, EventRaised.unpack(fields[b"body"]))
            if len(reply) < REPLAY_PAGE:
                return


def _order(entry_id: str) -> tuple[int, int]:
    milliseconds, _, count = entry_id.partition("-")
    return int(milliseconds), int(count or 0)
