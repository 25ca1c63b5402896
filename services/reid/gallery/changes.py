"""The history of persons: who said what about whom, what it moved, who somebody is now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from services.reid.gallery.tables import (
    ChangedPersonRow,
    MergedPersonRow,
    PersonChangeRow,
    PersonMoveRow,
    TrackletRow,
)
from shared.clock import from_us
from shared.errors import Conflict, Missing
from shared.paging import newest
from shared.person_changes import ChangeKind, MovedSighting, PersonChange

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from typing import Any

    from sqlalchemy.ext.asyncio import AsyncSession


async def check_live(
    session: AsyncSession, person_id: str, cameras: Collection[str] | None
) -> None:
    """Raises Missing for a person whom none of the cameras has seen, Conflict (`person_merged`) for
    one who is somebody else by now."""
    await check_unmerged(session, person_id)
    if not await _is_seen(session, person_id, cameras):
        raise Missing(f"no person {person_id!r}", code="unknown_person")


async def check_unmerged(session: AsyncSession, person_id: str) -> None:
    """Raises Conflict (`person_merged`)."""
    if await session.get(MergedPersonRow, person_id) is not None:
        raise Conflict(f"person {person_id!r} was merged into another", code="person_merged")


async def version_of(session: AsyncSession, person_id: str) -> int:
    """How often a user has said something about a person, or taken it back."""
    query = (
        select(func.count(PersonChangeRow.id) + func.count(PersonChangeRow.undone_us))
        .join(ChangedPersonRow, ChangedPersonRow.change_id == PersonChangeRow.id)
        .where(ChangedPersonRow.person_id == person_id)
    )
    return await session.scalar(query) or 0


async def find(
    session: AsyncSession, change_id: str, cameras: Collection[str] | None
) -> PersonChangeRow:
    """Raises Missing, also for a change of nothing that was seen by these cameras."""
    query = select(PersonChangeRow).where(PersonChangeRow.id == change_id, *_within(cameras))
    row: PersonChangeRow | None = await session.scalar(query)
    if row is None:
        raise Missing(f"no change {change_id!r}", code="unknown_change")
    return row


async def page(
    session: AsyncSession,
    person_id: str,
    limit: int,
    before: str | None,
    cameras: Collection[str] | None,
) -> list[PersonChange]:
    """The changes that concern a person, the newest first. Raises Missing for an unknown person;
    one whose sightings are all gone keeps their history."""
    concern = select(ChangedPersonRow.change_id).where(ChangedPersonRow.person_id == person_id)
    query = select(PersonChangeRow).where(PersonChangeRow.id.in_(concern), *_within(cameras))
    rows = await newest(session, query, PersonChangeRow.id, limit, before)
    if not rows and before is None and not await _is_seen(session, person_id, cameras):
        raise Missing(f"no person {person_id!r}", code="unknown_person")
    return [await described(session, row) for row in rows]


async def described(session: AsyncSession, row: PersonChangeRow) -> PersonChange:
    """A change as REST shows it."""
    query = select(ChangedPersonRow.person_id).where(ChangedPersonRow.change_id == row.id)
    persons = sorted(await session.scalars(query))
    return PersonChange(
        id=row.id,
        kind=ChangeKind(row.kind),
        person_id=row.to_person,
        from_person_ids=[person for person in persons if person != row.to_person] or persons,
        sightings=row.tracklets,
        purpose=row.purpose,
        actor=row.actor,
        at=from_us(row.at_us),
        undone_at=None if row.undone_us is None else from_us(row.undone_us),
        undone_by=row.undone_by,
        undone_purpose=row.undone_purpose,
    )


async def moved(
    session: AsyncSession,
    change_id: str,
    limit: int,
    after: str | None,
    cameras: Collection[str] | None,
) -> list[MovedSighting]:
    """The tracklets of a change, by their names. Raises Missing."""
    change = await find(session, change_id, cameras)
    query = (
        select(TrackletRow.name, TrackletRow.camera_id, PersonMoveRow.from_person)
        .join(PersonMoveRow, PersonMoveRow.tracklet_id == TrackletRow.id)
        .where(PersonMoveRow.change_id == change_id)
        .order_by(TrackletRow.name)
        .limit(limit)
    )
    if cameras is not None:
        query = query.where(TrackletRow.camera_id.in_(cameras))
    if after is not None:
        query = query.where(TrackletRow.name > after)
    return [
        MovedSighting(
            sighting_id=row.name,
            camera_id=row.camera_id,
            from_person_id=row.from_person,
            to_person_id=change.to_person,
        )
        for row in await session.execute(query)
    ]


async def _is_seen(session: AsyncSession, person_id: str, cameras: Collection[str] | None) -> bool:
    query = select(TrackletRow.id).where(TrackletRow.person_id == person_id)
    if cameras is not None:
        query = query.where(TrackletRow.camera_id.in_(cameras))
    return await session.scalar(query.limit(1)) is not None


def _within(cameras: Collection[str] | None) -> Sequence[Any]:
    """What a change must fulfil to be shown to a key that sees these cameras only."""
    if cameras is None:
        return ()
    seen = (
        select(PersonMoveRow.change_id)
        .join(TrackletRow, TrackletRow.id == PersonMoveRow.tracklet_id)
        .where(TrackletRow.camera_id.in_(cameras))
    )
    return (PersonChangeRow.id.in_(seen),)
