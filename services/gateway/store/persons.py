"""What the gallery has said since about sightings and persons -> the gateway's rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, select

from services.gateway.store.people_tables import (
    ForgottenSightingRow,
    MergedPersonRow,
    SightingRow,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from sqlalchemy.ext.asyncio import AsyncSession

    from shared.database import Database
    from shared.messages import PersonsRevised, Sighting


def row_of(camera_id: str, sighting: Sighting) -> SightingRow:
    times = [detection.captured_us for detection in sighting.detections]
    return SightingRow(
        id=sighting.sighting_id,
        person_id=sighting.person_id,
        camera_id=camera_id,
        start_us=min(times),
        end_us=max(times),
        confidence=sighting.confidence,
        quality=sighting.quality,
        crop=sighting.crop,
        boxes=[
            [d.captured_us, d.box.x, d.box.y, d.box.width, d.box.height]
            for d in sighting.detections
        ],
        confirmed=sighting.confirmed,
        revision=sighting.revision,
    )


async def survivor(session: AsyncSession, person_id: str) -> str:
    """Who a person is by now: themselves, unless they were merged into another."""
    while (row := await session.get(MergedPersonRow, person_id)) and row.into_person:
        person_id = row.into_person
    return person_id


async def settled(session: AsyncSession, sightings: Iterable[Sighting]) -> set[str]:
    """The ids of those that are known already, or forgotten: what was first told of them is no news
    any more. A change may have come before it."""
    ids = [sighting.sighting_id for sighting in sightings]
    known = await session.scalars(select(SightingRow.id).where(SightingRow.id.in_(ids)))
    return set(known) | await _forgotten(session, ids)


async def revise(session: AsyncSession, message: PersonsRevised, *, is_watched: bool) -> set[str]:
    """Takes in how sightings are now; returns the persons whom that concerns. is_watched: whether
    the camera still is one; else nothing new of it is taken in."""
    ids = [sighting.sighting_id for sighting in message.sightings]
    known = {
        row.id: row
        for row in await session.scalars(select(SightingRow).where(SightingRow.id.in_(ids)))
    }
    forgotten = await _forgotten(session, ids)
    concerned: set[str] = set()
    for sighting in message.sightings:
        row = known.get(sighting.sighting_id)
        if row is None and is_watched and sighting.sighting_id not in forgotten:
            session.add(row_of(message.camera_id or "", sighting))
            concerned.add(sighting.person_id)
        elif row is not None and row.revision < sighting.revision:
            concerned |= {row.person_id, sighting.person_id}
            row.person_id, row.confidence = sighting.person_id, sighting.confidence
            row.confirmed, row.revision = sighting.confirmed, sighting.revision
    return concerned


async def forget(session: AsyncSession, ids: Collection[str], now_us: int) -> set[str]:
    """Deletes sightings and leaves their tombstones; returns whose they were."""
    if not ids:
        return set()
    buried = await _forgotten(session, ids)
    session.add_all(ForgottenSightingRow(id=it, at_us=now_us) for it in set(ids) - buried)
    query = select(SightingRow.person_id).where(SightingRow.id.in_(ids))
    persons = set(await session.scalars(query))
    await session.execute(delete(SightingRow).where(SightingRow.id.in_(ids)))
    return persons


async def note_merged(
    session: AsyncSession, database: Database, message: PersonsRevised
) -> set[str]:
    """Takes in who is somebody else, or themselves again; returns whom that concerns."""
    said: dict[str, str | None] = {**message.merged, **dict.fromkeys(message.unmerged)}
    concerned: set[str] = set()
    for person_id, into_person in said.items():
        # The same is told of every camera that the change concerns, perhaps at once.
        fresh = database.insert(MergedPersonRow).values(person_id=person_id, revision=-1)
        await session.execute(fresh.on_conflict_do_nothing())
        row = await session.get_one(MergedPersonRow, person_id, with_for_update=True)
        if row.revision < message.revision:
            row.into_person, row.revision = into_person, message.revision
            concerned |= {person_id, into_person or person_id}
    return concerned


async def _forgotten(session: AsyncSession, ids: Collection[str]) -> set[str]:
    query = select(ForgottenSightingRow.id).where(ForgottenSightingRow.id.in_(ids))
    return set(await session.scalars(query))
