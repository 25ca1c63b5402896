"""A span of a camera's stored past: the scores of its frames, and the alerts that they raised."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np
import ormsgpack
from sqlalchemy import select

from services.gateway.core.kinds import TAMPERING, AlertKind
from services.gateway.core.track import Track
from services.gateway.store.tables import AlertRow, ScoreOutcomeRow
from shared.errors import Missing

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from sqlalchemy.ext.asyncio import AsyncSession

CLIPS_AT_ONCE = 2_000


async def track(
    session: AsyncSession,
    camera_id: str,
    start_us: int,
    end_us: int,
    context_key: str | None = None,
    *,
    others: bool = False,
) -> Track:
    """The frames captured within [start, end). context_key: only those that were scored in this
    context, as raw errors of different ones cannot be compared; others: all but those."""
    query = select(ScoreOutcomeRow.timeline).where(
        ScoreOutcomeRow.camera_id == camera_id,
        ScoreOutcomeRow.end_us >= start_us,
        ScoreOutcomeRow.start_us < end_us,
        ScoreOutcomeRow.timeline.is_not(None),
    )
    if context_key is not None:
        context = ScoreOutcomeRow.context
        query = query.where(
            context.is_distinct_from(context_key) if others else context == context_key
        )
    rows = await session.stream_scalars(query.execution_options(yield_per=CLIPS_AT_ONCE))
    parts = [
        await asyncio.to_thread(_unpacked, clips) async for clips in rows.partitions(CLIPS_AT_ONCE)
    ]
    return await asyncio.to_thread(_in_order, parts, start_us, end_us)


def _unpacked(clips: Sequence[bytes | None]) -> npt.NDArray[np.float64]:
    """(N, 3) captured_us (exact as a float until the year 2255), error, score."""
    points = [point for packed in clips if packed for point in ormsgpack.unpackb(packed)]
    return np.asarray(points, np.float64).reshape(-1, 3)


def _in_order(parts: Sequence[npt.NDArray[np.float64]], start_us: int, end_us: int) -> Track:
    points = np.concatenate([np.empty((0, 3)), *parts])
    captured_us = points[:, 0].astype(np.int64)
    order = np.argsort(captured_us, kind="stable")
    order = order[(captured_us[order] >= start_us) & (captured_us[order] < end_us)]
    return Track(captured_us[order], points[order, 1], points[order, 2])


async def raised(
    session: AsyncSession, camera_id: str, start_us: int, end_us: int
) -> list[AlertRow]:
    """The alerts by scores that were open at some time within [start, end), the earliest first."""
    query = select(AlertRow).where(
        AlertRow.camera_id == camera_id,
        AlertRow.kind == AlertKind.ANOMALY,
        AlertRow.start_us < end_us,
        AlertRow.end_us.is_(None) | (AlertRow.end_us >= start_us),
    )
    return list(await session.scalars(query.order_by(AlertRow.start_us)))


async def tampered(
    session: AsyncSession, camera_id: str, start_us: int, end_us: int
) -> list[tuple[int, int]]:
    """The half-open spans within [start, end) in which the camera was covered, turned or the like:
    what it showed was not its scene."""
    query = select(AlertRow.start_us, AlertRow.end_us).where(
        AlertRow.camera_id == camera_id,
        AlertRow.kind.in_(TAMPERING.values()),
        AlertRow.start_us < end_us,
        AlertRow.end_us.is_(None) | (AlertRow.end_us >= start_us),
    )
    rows = await session.execute(query)
    return [(row.start_us, end_us if row.end_us is None else row.end_us + 1) for row in rows]


async def spans_of(
    session: AsyncSession, camera_id: str, alert_ids: Sequence[str], now_us: int
) -> list[tuple[int, int]]:
    """The half-open spans of alerts. now_us: the end of those that are open.

    Raises Missing where one is no alert of the camera.
    """
    query = select(AlertRow.id, AlertRow.start_us, AlertRow.end_us).where(
        AlertRow.camera_id == camera_id, AlertRow.id.in_(alert_ids)
    )
    rows = list(await session.execute(query))
    if unknown := sorted(set(alert_ids) - {row.id for row in rows}):
        raise Missing(f"camera {camera_id!r} has no alert {unknown[0]!r}", code="unknown_alert")
    return [(row.start_us, now_us if row.end_us is None else row.end_us + 1) for row in rows]
