"""The tracklets of a change, and how they were before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import defer

from services.reid.gallery.tables import PersonMoveRow, TrackletRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from services.reid.gallery.tables import PersonChangeRow


async def tracklets(session: AsyncSession, *conditions: Any) -> list[TrackletRow]:
    """Without their vectors: a person may have thousands."""
    query = select(TrackletRow).where(*conditions).order_by(TrackletRow.id)
    return list(await session.scalars(query.options(defer(TrackletRow.vector))))


def moved_by(change: PersonChangeRow) -> Any:
    """The ids of a change's tracklets, as a query."""
    return select(PersonMoveRow.tracklet_id).where(PersonMoveRow.change_id == change.id)


def move_of(change: PersonChangeRow, row: TrackletRow, from_person: str) -> PersonMoveRow:
    """A tracklet as it is before the change touches it."""
    return PersonMoveRow(
        change_id=change.id,
        tracklet_id=row.id,
        from_person=from_person,
        confidence=row.confidence,
        how=row.how,
    )


def number(rows: Sequence[TrackletRow], revision: int) -> int:
    """Gives every changed row a revision of its own; returns the last."""
    for row in rows:
        revision += 1
        row.revision = revision
    return revision
