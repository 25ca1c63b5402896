"""Alerts and incidents in the database; every change is announced in the same transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from ulid import ULID

from services.gateway.core.alarm import Severity
from services.gateway.store import resources
from services.gateway.store.tables import AlertRow, IncidentRow, OutboxRow
from shared.clock import SECOND_US
from shared.errors import Missing
from shared.messages import EventRaised
from shared.outbox import announce
from shared.paging import newest
from shared.topics import EVENTS

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy.ext.asyncio import AsyncSession

    from services.gateway.core.camera import Camera

INCIDENT_GAP_S = 60.0
"""Alerts of one place with no longer a pause between them are one incident (ours)."""

NO_EVIDENCE: dict[str, Any] = {"state": "none"}


def tell(
    session: AsyncSession, event: str, camera_id: str | None, now_us: int, data: dict[str, Any]
) -> None:
    """Adds an event to the outbox."""
    raised = EventRaised(type=event, camera_id=camera_id, raised_us=now_us, data=data)
    announce(session, OutboxRow, EVENTS, raised)


def tell_alert(session: AsyncSession, event: str, row: AlertRow, now_us: int) -> None:
    data = resources.Alert.of(row).model_dump(mode="json")
    tell(session, event, row.camera_id, now_us, data)


async def open_alert(
    session: AsyncSession,
    camera: Camera,
    *,
    kind: str,
    severity: Severity,
    start_us: int,
    now_us: int,
    **columns: Any,
) -> AlertRow:
    """Opens an alert, within the incident of its place and moment."""
    incident = await _incident_of(session, camera.place, start_us, severity, now_us)
    defaults: dict[str, Any] = {
        "peak_us": start_us,
        "peak_score": 0.0,
        "learning": False,
        "regions": [],
        "evidence": NO_EVIDENCE,
        "evidence_pending": False,
    }
    row = AlertRow(
        **(defaults | columns),
        id=str(ULID()),
        camera_id=camera.id,
        kind=kind,
        severity=severity,
        state="open",
        start_us=start_us,
        opened_us=now_us,
        incident_id=incident.id,
    )
    session.add(row)
    await session.flush()
    tell_alert(session, "alert.opened", row, now_us)
    return row


async def reopen_alert(session: AsyncSession, alert_id: str, now_us: int) -> AlertRow:
    """The same trouble once more: the alert that closed a moment ago is open again."""
    row = await get(session, alert_id)
    row.state, row.end_us, row.closed_us = "open", None, None
    incident = await session.get(IncidentRow, row.incident_id, with_for_update=True)
    if incident is not None:
        _reopen(session, incident, now_us)
    tell_alert(session, "alert.reopened", row, now_us)
    return row


async def retell_alert(
    session: AsyncSession,
    row: AlertRow,
    *,
    kind: str,
    severity: Severity,
    peak_us: int,
    peak_score: float,
    now_us: int,
) -> None:
    """The same trouble by its right name: it is open, under another kind, and no less grave."""
    was_closed = row.state == "closed"
    row.kind, row.peak_us, row.peak_score = kind, peak_us, peak_score
    row.severity = max(severity, Severity(row.severity), key=lambda it: it.rank)
    row.state, row.end_us, row.closed_us = "open", None, None
    row.learning, row.model, row.context, row.regions = False, None, None, []
    incident = await session.get(IncidentRow, row.incident_id, with_for_update=True)
    if incident is not None:
        _reopen(session, incident, now_us)
        _aggravate(session, incident, severity, now_us)
    tell_alert(session, "alert.reopened" if was_closed else "alert.updated", row, now_us)


async def raise_peak(
    session: AsyncSession,
    alert_id: str,
    *,
    peak_us: int,
    peak_score: float,
    severity: Severity,
    regions: list[dict[str, float]],
    now_us: int,
) -> None:
    """A louder frame. Told only where it makes the alert graver, lest dashboards flicker."""
    row = await get(session, alert_id)
    row.peak_us, row.peak_score = peak_us, peak_score
    row.regions = regions or row.regions
    if severity.rank > Severity(row.severity).rank:
        row.severity = severity
        incident = await session.get(IncidentRow, row.incident_id, with_for_update=True)
        if incident is not None:
            _aggravate(session, incident, severity, now_us)
        tell_alert(session, "alert.updated", row, now_us)


async def close_alert(session: AsyncSession, alert_id: str, end_us: int, now_us: int) -> None:
    """Closes an alert, and its incident with the last one."""
    row = await get(session, alert_id)
    if row.state == "closed":
        return
    row.state, row.end_us, row.closed_us = "closed", max(end_us, row.start_us), now_us
    tell_alert(session, "alert.closed", row, now_us)
    incident = await session.get(IncidentRow, row.incident_id, with_for_update=True)
    if incident is None:
        return
    incident.end_us = max(incident.end_us, row.end_us)
    others = select(AlertRow.id).where(
        AlertRow.incident_id == row.incident_id, AlertRow.state == "open", AlertRow.id != row.id
    )
    if await session.scalar(others.limit(1)) is None:
        incident.state = "closed"
        _tell_incident(session, "incident.closed", incident, now_us)


async def _incident_of(
    session: AsyncSession, place: str, start_us: int, severity: Severity, now_us: int
) -> IncidentRow:
    """The incident that an alert of this place and moment belongs to, made if there is none."""
    near = select(IncidentRow).where(
        IncidentRow.place == place,
        IncidentRow.start_us <= start_us + int(INCIDENT_GAP_S * SECOND_US),
        (IncidentRow.end_us >= start_us - int(INCIDENT_GAP_S * SECOND_US))
        | (IncidentRow.state == "open"),
    )
    newest = near.order_by(IncidentRow.end_us.desc()).limit(1).with_for_update()
    incident: IncidentRow | None = await session.scalar(newest)
    if incident is None:
        incident = IncidentRow(
            id=str(ULID()),
            place=place,
            state="open",
            severity=severity,
            start_us=start_us,
            end_us=start_us,
            opened_us=now_us,
        )
        session.add(incident)
        _tell_incident(session, "incident.opened", incident, now_us)
        return incident
    incident.start_us = min(incident.start_us, start_us)
    incident.end_us = max(incident.end_us, start_us)
    _reopen(session, incident, now_us)
    _aggravate(session, incident, severity, now_us)
    return incident


def _reopen(session: AsyncSession, incident: IncidentRow, now_us: int) -> None:
    if incident.state != "open":
        incident.state = "open"
        _tell_incident(session, "incident.reopened", incident, now_us)


def _aggravate(
    session: AsyncSession, incident: IncidentRow, severity: Severity, now_us: int
) -> None:
    """An incident is as grave as its gravest alert was."""
    if severity.rank > Severity(incident.severity).rank:
        incident.severity = severity
        _tell_incident(session, "incident.updated", incident, now_us)


def _tell_incident(session: AsyncSession, event: str, incident: IncidentRow, now_us: int) -> None:
    tell(session, event, None, now_us, resources.Incident.of(incident).model_dump(mode="json"))


async def get(session: AsyncSession, alert_id: str) -> AlertRow:
    """Raises Missing."""
    row = await session.get(AlertRow, alert_id)
    if row is None:
        raise Missing(f"no alert {alert_id!r}", code="unknown_alert")
    return row


async def pending_evidence(session: AsyncSession, camera_id: str) -> list[AlertRow]:
    """Alerts of a camera whose pictures have not been saved yet."""
    query = select(AlertRow).where(
        AlertRow.camera_id == camera_id, AlertRow.evidence_pending.is_(True)
    )
    return list(await session.scalars(query))


async def page(
    session: AsyncSession,
    *,
    limit: int,
    before: str | None,
    only: Collection[str] | None,
    filters: dict[str, Any],
) -> list[AlertRow]:
    """Alerts, the newest first.

    filters: state, severity, kind, camera_ids, incident_id, start_us (inclusive), end_us
    (exclusive), each absent or None where it does not matter. only: cameras the key may see.
    """
    query = select(AlertRow)
    if only is not None:
        query = query.where(AlertRow.camera_id.in_(only))
    for column in ("state", "severity", "kind", "incident_id"):
        if filters.get(column) is not None:
            query = query.where(getattr(AlertRow, column) == filters[column])
    if filters.get("camera_ids"):
        query = query.where(AlertRow.camera_id.in_(filters["camera_ids"]))
    if filters.get("start_us") is not None:
        query = query.where(AlertRow.start_us >= filters["start_us"])
    if filters.get("end_us") is not None:
        query = query.where(AlertRow.start_us < filters["end_us"])
    return await newest(session, query, AlertRow.id, limit, before)
