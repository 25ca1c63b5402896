"""A source and a pusher -> footage on its way: at the source's pace, or as fast as it is taken."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from services.ingest.pusher import Push

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from services.ingest.pusher import Pusher
    from services.ingest.sources import Source, SourceFrame


@dataclass(frozen=True)
class Pace:
    """realtime: frames are pushed when they were captured, counted from the first. start: capture
    time of the source's beginning (None: now, or so long ago that fast footage ends now).
    batch: frames per request where it may be more than one."""

    realtime: bool
    start: datetime | None = None
    batch: int = 16


async def feed(
    source: Source, pusher: Pusher, pace: Pace, progress: Callable[[], None] = lambda: None
) -> None:
    """Pushes all of a source. Raises Refused where the gateway will not have it."""
    start = pace.start or _start_of(source, pace)
    began = time.monotonic()
    batch_size = 1 if pace.realtime or source.is_live else pace.batch
    batch: list[Push] = []
    async for frame in _read_ahead(source):
        if pace.realtime and not source.is_live:
            await asyncio.sleep(max(0.0, frame.offset_s - (time.monotonic() - began)))
        batch.append(Push(frame.body, start + timedelta(seconds=frame.offset_s)))
        if len(batch) >= batch_size:
            await pusher.push(batch)
            batch = []
            progress()
    if batch:
        await pusher.push(batch)
        progress()


def _start_of(source: Source, pace: Pace) -> datetime:
    now = datetime.now(UTC)
    if pace.realtime or source.is_live or source.duration_s is None:
        return now
    return now - timedelta(seconds=source.duration_s)


async def _read_ahead(source: Source) -> AsyncIterator[SourceFrame]:
    """The source's frames; the next one is read in a thread while this one is pushed."""
    frames = iter(source.frames())
    coming = asyncio.create_task(asyncio.to_thread(next, frames, None))
    while (frame := await coming) is not None:
        coming = asyncio.create_task(asyncio.to_thread(next, frames, None))
        yield frame
