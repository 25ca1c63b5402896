"""A change -> its tracklets as they were before it, and those that continue them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, func, select
from sqlalchemy.orm import aliased

from services.reid.gallery.moves import move_of, moved_by, tracklets
from services.reid.gallery.tables import (
    How,
    MergedPersonRow,
    PersonChangeRow,
    PersonMoveRow,
    TrackletRow,
)
from shared.errors import Conflict
from shared.person_changes import ChangeKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncSession


async def put_back(
    session: AsyncSession, change: PersonChangeRow, rows: Sequence[TrackletRow]
) -> list[str]:
    """rows: the change's tracklets that were not forgotten. Returns who was merged away by it and
    is themselves again.

    Raises Conflict (`changed_since`) where a later change rests on this one.
    """
    await _check_newest(session, change)
    before = await _before(session, change)
    for row in rows:
        move = before[row.id]
        row.person_id, row.confidence, row.how = move.from_person, move.confidence, move.how
    mine = MergedPersonRow.change_id == change.id
    persons = list(await session.scalars(select(MergedPersonRow.person_id).where(mine)))
    await session.execute(delete(MergedPersonRow).where(mine))
    return persons


async def put_followers_back(
    session: AsyncSession, change: PersonChangeRow, rows: Sequence[TrackletRow]
) -> list[TrackletRow]:
    """What has continued the tracks of these rows since the change: whoever a track is, it is. From
    now on it belongs to the change as well."""
    if change.kind == ChangeKind.CONFIRM:
        return []
    person_of = {row.track_id: str(row.person_id) for row in rows}
    moved = aliased(TrackletRow)
    # A re-index gives old tracklets new revisions; what continues a track comes behind it.
    last = select(func.max(moved.id)).where(
        moved.id.in_(moved_by(change)), moved.track_id == TrackletRow.track_id
    )
    tracks = select(moved.track_id).where(moved.id.in_(moved_by(change)))
    followers = await tracklets(
        session,
        TrackletRow.track_id.in_(tracks),
        TrackletRow.person_id == change.to_person,
        TrackletRow.how == How.CONTINUED,
        TrackletRow.revision > change.revision,
        TrackletRow.id > last.scalar_subquery(),
        TrackletRow.id.not_in(moved_by(change)),
    )
    for row in followers:
        session.add(move_of(change, row, person_of[row.track_id]))
        row.person_id = person_of[row.track_id]
    return followers


async def _before(session: AsyncSession, change: PersonChangeRow) -> dict[int, PersonMoveRow]:
    query = select(PersonMoveRow).where(PersonMoveRow.change_id == change.id)
    return {move.tracklet_id: move for move in await session.scalars(query)}


async def _check_newest(session: AsyncSession, change: PersonChangeRow) -> None:
    """Raises Conflict where a later change took up what this one has left."""
    later = (
        select(PersonChangeRow.id)
        .join(PersonMoveRow, PersonMoveRow.change_id == PersonChangeRow.id)
        .where(
            PersonChangeRow.undone_us.is_(None),
            PersonChangeRow.revision > change.revision,
            PersonMoveRow.tracklet_id.in_(moved_by(change)),
        )
    )
    origins = select(PersonMoveRow.from_person).where(PersonMoveRow.change_id == change.id)
    gone = select(MergedPersonRow.change_id).where(
        MergedPersonRow.person_id.in_(origins), MergedPersonRow.change_id != change.id
    )
    for query in (later, gone):
        if (found := await session.scalar(query.limit(1))) is not None:
            raise Conflict(f"change {found} rests on it; undo that first", code="changed_since")
