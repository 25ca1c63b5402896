"""Baselines in the database: sketches for each camera, scoring context and hour of the day."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, select

from services.gateway.core.baseline import Baseline
from services.gateway.store.tables import BaselineHourRow, BaselineRow
from shared.clock import now_us

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import ColumnElement
    from sqlalchemy.ext.asyncio import AsyncSession

    from shared.messages import Prior, ScoringContext


async def load(
    session: AsyncSession,
    camera_id: str,
    context_key: str,
    hours: Collection[int] | None = None,
) -> Baseline:
    """A new one where the camera has none in this context: errors of two models, providers or
    precisions are not compared. hours: those that are asked for (None: all)."""
    row = await session.get(BaselineRow, (camera_id, context_key))
    if row is None:
        return Baseline()
    query = select(BaselineHourRow.hour, BaselineHourRow.sketch).where(*_of(camera_id, context_key))
    if hours is not None:
        query = query.where(BaselineHourRow.hour.in_(hours))
    by_hour = {row.hour: row.sketch for row in await session.execute(query)}
    return Baseline(row.sketch, by_hour, row.open_score)


async def save(
    session: AsyncSession,
    camera_id: str,
    context: ScoringContext,
    prior: Prior,
    baseline: Baseline,
) -> None:
    """Stores the whole, and the hours that have learnt since it was loaded."""
    await session.merge(
        BaselineRow(
            camera_id=camera_id,
            context=context.key,
            frames=baseline.frames,
            sketch=baseline.pack(),
            scoring=context.model_dump(),
            prior=prior.model_dump(),
            open_score=baseline.open_score,
            updated_us=now_us(),
        )
    )
    frames = baseline.frames_by_hour
    for hour, sketch in baseline.pack_hours(taught_only=True).items():
        await session.merge(
            BaselineHourRow(
                camera_id=camera_id,
                context=context.key,
                hour=hour,
                frames=frames[hour],
                sketch=sketch,
            )
        )


async def newest(
    session: AsyncSession, camera_id: str, *, lock: bool = False
) -> BaselineRow | None:
    """The row of the context in which the camera was scored last, of which all is known."""
    query = (
        select(BaselineRow)
        .where(BaselineRow.camera_id == camera_id, BaselineRow.scoring.is_not(None))
        .order_by(BaselineRow.updated_us.desc())
        .limit(1)
    )
    row: BaselineRow | None = await session.scalar(query.with_for_update() if lock else query)
    return row


async def replace(session: AsyncSession, row: BaselineRow, baseline: Baseline) -> None:
    """Puts another baseline in the place of the row's, hours included."""
    row.frames, row.sketch = baseline.frames, baseline.pack()
    row.open_score, row.updated_us = baseline.open_score, now_us()
    await session.execute(delete(BaselineHourRow).where(*_of(row.camera_id, row.context)))
    frames = baseline.frames_by_hour
    session.add_all(
        BaselineHourRow(
            camera_id=row.camera_id,
            context=row.context,
            hour=hour,
            frames=frames[hour],
            sketch=sketch,
        )
        for hour, sketch in baseline.pack_hours().items()
    )


def _of(camera_id: str, context_key: str) -> tuple[ColumnElement[bool], ...]:
    return (BaselineHourRow.camera_id == camera_id, BaselineHourRow.context == context_key)
