"""Folded clips -> the regularity curve of a camera."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import ormsgpack
from sqlalchemy import select

from services.gateway.store.tables import ScoreOutcomeRow
from shared.clock import SECOND_US
from shared.messages import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.ext.asyncio import AsyncSession


@dataclass(frozen=True)
class Point:
    """One frame, or the loudest one of a bucket."""

    captured_us: int
    error: float
    score: float


@dataclass(frozen=True)
class Unscored:
    """A clip without scores, and why."""

    start_us: int | None
    end_us: int | None
    outcome: str
    reason: str | None


@dataclass(frozen=True)
class Curve:
    points: list[Point]
    unscored: list[Unscored]
    truncated: bool


async def read(
    session: AsyncSession, camera_id: str, start_us: int, end_us: int, bucket_s: float, limit: int
) -> Curve:
    """The curve within [start, end), in the order of capture, the newest `limit` points of it."""
    rows = await session.execute(
        select(
            ScoreOutcomeRow.timeline,
            ScoreOutcomeRow.start_us,
            ScoreOutcomeRow.end_us,
            ScoreOutcomeRow.outcome,
            ScoreOutcomeRow.reason,
        ).where(
            ScoreOutcomeRow.camera_id == camera_id,
            ScoreOutcomeRow.end_us >= start_us,
            ScoreOutcomeRow.start_us < end_us,
        )
    )
    points: list[Point] = []
    unscored: list[Unscored] = []
    for packed, clip_start_us, clip_end_us, outcome, reason in rows:
        if packed is not None:
            points += (p for p in _unpack(packed) if start_us <= p.captured_us < end_us)
        elif outcome != Outcome.DONE:
            unscored.append(Unscored(clip_start_us, clip_end_us, outcome, reason))
    points.sort(key=lambda point: point.captured_us)
    unscored.sort(key=lambda gap: gap.start_us or 0)
    if bucket_s:
        points = list(_loudest(points, int(bucket_s * SECOND_US)))
    return Curve(points[-limit:], unscored, truncated=len(points) > limit)


def _unpack(packed: bytes) -> Iterator[Point]:
    for captured_us, error, score in ormsgpack.unpackb(packed):
        yield Point(captured_us, error, score)


def _loudest(points: list[Point], bucket_us: int) -> Iterator[Point]:
    """The loudest frame of every bucket, at the bucket's start."""
    buckets: dict[int, Point] = {}
    for point in points:
        start = point.captured_us // bucket_us * bucket_us
        if start not in buckets or point.score > buckets[start].score:
            buckets[start] = point
    for start, point in buckets.items():
        yield Point(start, point.error, point.score)
