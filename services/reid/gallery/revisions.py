"""The changes of the tracklets' tables are numbered: what follows them reads on from its last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from services.reid.gallery.tables import ForgottenRow, LeaseRow, TrackletRow

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from shared.database import Database

WRITER = "gallery"
"""Name of the lease whose row whoever numbers changes must lock."""


async def newest_revision(session: AsyncSession) -> int:
    """The number of the last change; 0 before the first."""
    changed = await session.scalar(select(func.max(TrackletRow.revision))) or 0
    forgotten = await session.scalar(select(func.max(ForgottenRow.revision))) or 0
    return max(changed, forgotten)


async def take_turn(database: Database, session: AsyncSession) -> int:
    """For a transaction that numbers changes without being the gallery's writer: until it ends,
    nobody else does. Returns the newest revision."""
    fresh = {"name": WRITER, "holder": "", "epoch": 0, "expires_us": 0}
    await session.execute(database.insert(LeaseRow).values(**fresh).on_conflict_do_nothing())
    await session.execute(select(LeaseRow.epoch).where(LeaseRow.name == WRITER).with_for_update())
    return await newest_revision(session)
