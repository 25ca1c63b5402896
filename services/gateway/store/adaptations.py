"""Adaptations in the database: which stage of which is under way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from ulid import ULID

from services.gateway.core.adaptation import stages_of
from services.gateway.store.adaptation_tables import AdaptationRow
from shared import paging
from shared.clock import now_us
from shared.errors import Missing
from shared.jobs import JobState

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

UNDER_WAY = tuple(state for state in JobState if not state.is_final)


async def begin(session: AsyncSession, asked: dict[str, Any], actor: str) -> AdaptationRow:
    """At its first stage, whose job nobody has asked for yet."""
    row = AdaptationRow(
        id=str(ULID()),
        state=JobState.QUEUED,
        actor=actor,
        asked=asked,
        stage=stages_of(asked)[0],
        created_us=now_us(),
    )
    session.add(row)
    await session.flush()
    return row


async def under_way(session: AsyncSession) -> list[AdaptationRow]:
    """The oldest first."""
    query = select(AdaptationRow).where(AdaptationRow.state.in_(UNDER_WAY))
    return list(await session.scalars(query.order_by(AdaptationRow.id)))


async def newest(session: AsyncSession, limit: int, before: str | None) -> list[AdaptationRow]:
    """The newest first, ended ones too."""
    return await paging.newest(session, select(AdaptationRow), AdaptationRow.id, limit, before)


async def find(session: AsyncSession, adaptation_id: str, *, lock: bool = False) -> AdaptationRow:
    """Raises Missing."""
    row = await session.get(AdaptationRow, adaptation_id, with_for_update=lock)
    if row is None:
        raise Missing(f"no adaptation {adaptation_id!r}", code="unknown_adaptation")
    return row
