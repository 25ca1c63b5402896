"""Baselines in the database: a sketch for each camera and scoring context."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.gateway.core.baseline import Baseline
from services.gateway.store.tables import BaselineRow
from shared.clock import now_us

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from shared.messages import ScoringContext


async def load(session: AsyncSession, camera_id: str, context: ScoringContext) -> Baseline:
    """A new one where the camera has none in this context: errors of two models, providers or
    precisions are not compared."""
    row = await session.get(BaselineRow, (camera_id, context.key))
    return Baseline(row.sketch if row else None)


async def save(
    session: AsyncSession, camera_id: str, context: ScoringContext, baseline: Baseline
) -> None:
    await session.merge(
        BaselineRow(
            camera_id=camera_id,
            context=context.key,
            frames=baseline.frames,
            sketch=baseline.pack(),
            updated_us=now_us(),
        )
    )
