"""Incidents in the database, with their alerts and the people who were there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from services.gateway.store.people_tables import SightingRow
from services.gateway.store.resources import (
    Alert,
    Incident,
    IncidentDetail,
    PersonAtIncident,
    blob_url,
)
from services.gateway.store.tables import AlertRow, IncidentRow
from shared.clock import SECOND_US
from shared.errors import Missing
from shared.paging import newest

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy.ext.asyncio import AsyncSession

PEOPLE_MARGIN_S = 5.0
"""People are listed who were sighted so long before an incident or after it (ours)."""


async def page(
    session: AsyncSession,
    *,
    limit: int,
    before: str | None,
    only: Collection[str] | None,
    state: str | None,
    start_us: int | None,
    end_us: int | None,
) -> list[IncidentRow]:
    """Incidents, the newest first; only: those with an alert at one of these cameras."""
    query = select(IncidentRow)
    if state is not None:
        query = query.where(IncidentRow.state == state)
    if start_us is not None:
        query = query.where(IncidentRow.end_us >= start_us)
    if end_us is not None:
        query = query.where(IncidentRow.start_us < end_us)
    if only is not None:
        seen = select(AlertRow.incident_id).where(AlertRow.camera_id.in_(only))
        query = query.where(IncidentRow.id.in_(seen))
    return await newest(session, query, IncidentRow.id, limit, before)


async def detail(
    session: AsyncSession, incident_id: str, only: Collection[str] | None
) -> IncidentDetail:
    """Raises Missing, also where none of its cameras may be seen."""
    incident = await session.get(IncidentRow, incident_id)
    query = select(AlertRow).where(AlertRow.incident_id == incident_id).order_by(AlertRow.start_us)
    if only is not None:
        query = query.where(AlertRow.camera_id.in_(only))
    alerts = list(await session.scalars(query))
    if incident is None or not alerts:
        raise Missing(f"no incident {incident_id!r}", code="unknown_incident")
    return IncidentDetail(
        **Incident.of(incident).model_dump(),
        alerts=[Alert.of(row) for row in alerts],
        persons=await _people_at(session, incident, {row.camera_id for row in alerts}),
    )


async def _people_at(
    session: AsyncSession, incident: IncidentRow, cameras: set[str]
) -> list[PersonAtIncident]:
    margin_us = int(PEOPLE_MARGIN_S * SECOND_US)
    rows = await session.scalars(
        select(SightingRow)
        .where(
            SightingRow.camera_id.in_(cameras),
            SightingRow.start_us <= incident.end_us + margin_us,
            SightingRow.end_us >= incident.start_us - margin_us,
        )
        .order_by(SightingRow.confidence.desc())
    )
    people: dict[str, PersonAtIncident] = {}
    for row in rows:
        person = people.setdefault(
            row.person_id,
            PersonAtIncident(
                person_id=row.person_id,
                cameras=[],
                confidence=row.confidence,
                crop=blob_url(row.crop),
            ),
        )
        if row.camera_id not in person.cameras:
            person.cameras.append(row.camera_id)
    return list(people.values())
