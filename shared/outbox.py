"""Rows written with an effect -> entries on the bus: announced once, and in order.

The entry id is `ORIGIN-POSITION`, so publishing twice is refused by the stream itself. Positions
are given by the relay, not by the row's id: a row may commit after one with a higher id.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import structlog
from redis.exceptions import RedisError, ResponseError
from sqlalchemy import LargeBinary, String, delete, select
from sqlalchemy.orm import Mapped, mapped_column

from shared.bus import envelope
from shared.clock import now_us
from shared.database import Counter64
from shared.errors import Unavailable

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from shared.bus import Bus
    from shared.database import Database
    from shared.health import Vital
    from shared.leases import Lease
    from shared.messages import Message
    from shared.topics import Topic

log = structlog.get_logger(__name__)

ORIGIN = "outbox"
MAX_UNREAD = 20_000


class OutboxColumns:
    """Columns of an `outbox` table. position: NULL until the relay has given one."""

    __tablename__ = "outbox"

    id: Mapped[int] = mapped_column(Counter64, primary_key=True, autoincrement=True)
    position: Mapped[int | None] = mapped_column(index=True)
    stream: Mapped[str] = mapped_column(String(64))
    type: Mapped[str] = mapped_column(String(64))
    body: Mapped[bytes] = mapped_column(LargeBinary)
    traceparent: Mapped[str] = mapped_column(String(64))


class OriginColumns:
    """Columns of an `outbox_origin` table: when the sequence of positions began, and its last."""

    __tablename__ = "outbox_origin"

    name: Mapped[str] = mapped_column(String(16), primary_key=True)
    born_ms: Mapped[int]
    position: Mapped[int]


def announce(
    session: AsyncSession, table: Any, topic: Topic, message: Message, partition: int = 0
) -> None:
    """Adds a message to the outbox, in the transaction of the effect that it tells of."""
    session.add(table(stream=topic.key(partition), **envelope(message)))


class Relay:
    """Publishes a database's outbox to one topic. Runs under a lease; a second relay is a standby.

    It must be the topic's only writer: an entry of somebody else would pass its ids, and what it
    published then would look like a repetition. Where the topic has no fuse, rows wait here while
    its readers lag.
    """

    def __init__(
        self, database: Database, bus: Bus, topic: Topic, *, outbox: Any, origin: Any, vital: Vital
    ) -> None:
        self._database = database
        self._bus = bus
        self._topic = topic
        self._outbox = outbox
        self._origin = origin
        self._vital = vital
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Something was committed just now."""
        self._woken.set()

    async def run(self, lease: Lease, *, idle_s: float = 0.1) -> None:
        """Until cancelled, or until the lease is lost."""
        aligned = False
        while True:
            try:
                if not aligned:
                    await self._align(lease)
                    aligned = True
                published = await self.relay_once(lease)
            except (RedisError, Unavailable) as error:
                self._vital.ailing(str(error))
                published, aligned = 0, False
                await asyncio.sleep(idle_s * 5)
            if not published:
                with suppress(TimeoutError):
                    async with asyncio.timeout(idle_s):
                        await self._woken.wait()
                self._woken.clear()

    async def relay_once(self, lease: Lease, limit: int = 200) -> int:
        """Publishes what waits, oldest first; returns how many rows went out."""
        if not self._topic.fuse and await self._bus.backlog(self._topic) >= MAX_UNREAD:
            self._vital.ailing(f"{self._topic.name}: {MAX_UNREAD} entries wait for their readers")
            return 0
        rows, born_ms = await self._positioned(lease, limit)
        for row in rows:
            await self._publish(row, f"{born_ms}-{row.position}")
        if rows:
            async with self._database.writing() as session:
                published = [row.id for row in rows]
                await session.execute(delete(self._outbox).where(self._outbox.id.in_(published)))
        self._vital.well()
        return len(rows)

    async def _positioned(self, lease: Lease, limit: int) -> tuple[list[Any], int]:
        outbox = self._outbox
        async with self._database.reading() as session:
            if await session.scalar(select(outbox.id).limit(1)) is None:
                return [], 0
        async with self._database.writing() as session:
            await lease.check(session)
            origin = await self._origin_row(session)
            rows = list(
                await session.scalars(
                    # What has a position already goes first: it may be half published.
                    select(outbox)
                    .order_by(outbox.position.is_(None), outbox.position, outbox.id)
                    .limit(limit)
                )
            )
            for row in rows:
                if row.position is None:
                    origin.position += 1
                    row.position = origin.position
            return rows, origin.born_ms

    async def _publish(self, row: Any, entry_id: str) -> None:
        fields: Any = {"type": row.type, "body": row.body, "traceparent": row.traceparent}
        try:
            await self._bus.redis.xadd(
                row.stream, fields, id=entry_id, maxlen=self._topic.fuse or None
            )
        except ResponseError as error:
            if "equal or smaller" not in str(error):
                raise
            log.info("already_published", stream=row.stream, entry=entry_id)

    async def _origin_row(self, session: AsyncSession) -> Any:
        origin = await session.get(self._origin, ORIGIN)
        if origin is None:
            origin = self._origin(name=ORIGIN, born_ms=now_us() // 1000, position=0)
            session.add(origin)
        return origin

    async def _align(self, lease: Lease) -> None:
        """A database restored from a backup is behind the streams: its positions would be refused
        as already published. Then a new sequence begins."""
        streams = [self._topic.key(p) for p in self._bus.partitions_of(self._topic)]
        newest = {stream: await self._last_id(stream) for stream in streams}
        async with self._database.writing() as session:
            await lease.check(session)
            origin = await self._origin_row(session)
            if max(newest.values()) <= (origin.born_ms, origin.position):
                return
            log.warning("outbox_behind_stream", topic=self._topic.name)
            positioned = self._outbox.position.is_not(None)
            for row in await session.scalars(select(self._outbox).where(positioned)):
                if (origin.born_ms, row.position) <= newest[row.stream]:
                    await session.delete(row)  # published in the time that the backup has lost
                else:
                    row.position = None
            origin.born_ms = max(now_us() // 1000, max(newest.values())[0] + 1)
            origin.position = 0

    async def _last_id(self, stream: str) -> tuple[int, int]:
        try:
            info = await self._bus.redis.xinfo_stream(stream)
        except ResponseError:  # no such stream yet
            return (0, 0)
        milliseconds, _, count = info["last-generated-id"].decode().partition("-")
        return int(milliseconds), int(count)
