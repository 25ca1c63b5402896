"""Sightings of persons in the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, or_, select

from services.gateway.store.people_tables import SightingRow
from shared.clock import to_us
from shared.errors import Malformed, Missing

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Select
    from sqlalchemy.ext.asyncio import AsyncSession

    from services.gateway.store.resources import SightingResource


def cursor_of(sighting: SightingResource) -> str:
    """Sightings are listed by time, then id."""
    return f"{to_us(sighting.start_time)}~{sighting.id}"


async def check_known(session: AsyncSession, person_id: str, only: Collection[str] | None) -> None:
    """Raises Missing for a person whom none of the cameras has seen."""
    query = select(SightingRow.id).where(SightingRow.person_id == person_id)
    if only is not None:
        query = query.where(SightingRow.camera_id.in_(only))
    if await session.scalar(query.limit(1)) is None:
        raise Missing(f"no person {person_id!r}", code="unknown_person")


async def totals(
    session: AsyncSession, person_id: str, only: Collection[str] | None
) -> dict[str, Any]:
    """How often, where and when a person was seen, and their clearest crop."""
    query = _filtered(person_id, only=only, start_us=None, end_us=None, min_confidence=0.0)
    seen = query.subquery()
    counted = select(
        func.count().label("sightings"),
        func.count().filter(seen.c.confirmed).label("confirmed"),
        func.min(seen.c.start_us).label("start_us"),
        func.max(seen.c.end_us).label("end_us"),
    )
    clearest = query.order_by(SightingRow.quality.desc()).limit(1)
    cameras = select(seen.c.camera_id).distinct().order_by(seen.c.camera_id)
    best: SightingRow | None = await session.scalar(clearest)
    return {
        **(await session.execute(counted)).one()._mapping,
        "cameras": list(await session.scalars(cameras)),
        "crop": best.crop if best else None,
    }


async def page(
    session: AsyncSession, person_id: str | None, *, limit: int, before: str | None, **filters: Any
) -> list[SightingRow]:
    """Sightings of a person, or of all, the newest first, from behind the cursor `before`."""
    query = _filtered(person_id, **filters)
    if before is not None:
        start_us, sighting_id = _read_cursor(before)
        query = query.where(
            or_(
                SightingRow.start_us < start_us,
                (SightingRow.start_us == start_us) & (SightingRow.id < sighting_id),
            )
        )
    newest_first = query.order_by(SightingRow.start_us.desc(), SightingRow.id.desc())
    return list(await session.scalars(newest_first.limit(limit)))


async def all_of(session: AsyncSession, person_id: str, **filters: Any) -> list[SightingRow]:
    """All sightings of a person within the filters."""
    return list(await session.scalars(_filtered(person_id, **filters)))


def _filtered(
    person_id: str | None,
    *,
    only: Collection[str] | None,
    start_us: int | None,
    end_us: int | None,
    min_confidence: float,
) -> Select[SightingRow]:
    query = select(SightingRow).where(SightingRow.confidence >= min_confidence)
    if person_id is not None:
        query = query.where(SightingRow.person_id == person_id)
    if only is not None:
        query = query.where(SightingRow.camera_id.in_(only))
    if start_us is not None:
        query = query.where(SightingRow.end_us >= start_us)
    if end_us is not None:
        query = query.where(SightingRow.start_us < end_us)
    return query


def _read_cursor(cursor: str) -> tuple[int, str]:
    start_us, _, sighting_id = cursor.partition("~")
    try:
        return int(start_us), sighting_id
    except ValueError:
        raise Malformed(f"{cursor!r} is no cursor", code="bad_cursor") from None
