"""The server's clock, in the unit that messages and tables use: microseconds since 1970, UTC."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

SECOND_US = 1_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def now_us() -> int:
    return time.time_ns() // 1_000


def to_us(moment: datetime) -> int:
    """Exact, unlike `timestamp()`, whose float loses microseconds."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def from_us(us: int) -> datetime:
    return EPOCH + timedelta(microseconds=us)


def frame_times(fps: float, frames: int, *, start: int = 0) -> tuple[int, ...]:
    """When frames were captured that came at an even rate, from the start-th on: microseconds since
    the first."""
    return tuple(round(n * SECOND_US / fps) for n in range(start, start + frames))
