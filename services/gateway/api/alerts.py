"""/v1/alerts and /v1/incidents: what was found, with its pictures and its people."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from services.gateway.api.dependencies import (
    CityDep,
    Cursor,
    EndTime,
    Limit,
    ReadsAlerts,
    StartTime,
    us_of,
)
from services.gateway.core.alarm import Severity
from services.gateway.core.kinds import AlertKind
from services.gateway.store import alerts, incidents
from services.gateway.store.resources import Alert, Incident, IncidentDetail
from shared.paging import Page

router = APIRouter(prefix="/v1", tags=["alerts"])

State = Literal["open", "closed"]


@router.get("/alerts")
async def list_alerts(
    principal: ReadsAlerts,
    city: CityDep,
    limit: Limit = 100,
    cursor: Cursor = None,
    state: State | None = None,
    severity: Severity | None = None,
    kind: AlertKind | None = None,
    camera_ids: Annotated[list[str] | None, Query()] = None,
    incident_id: str | None = None,
    start_time: StartTime = None,
    end_time: EndTime = None,
) -> Page[Alert]:
    """Alerts, the newest first. `start_time` and `end_time` are about when an alert began."""
    filters = {
        "state": state,
        "severity": severity,
        "kind": kind,
        "camera_ids": camera_ids,
        "incident_id": incident_id,
        "start_us": us_of(start_time),
        "end_us": us_of(end_time),
    }
    async with city.database.reading() as session:
        rows = await alerts.page(
            session, limit=limit + 1, before=cursor, only=principal.cameras, filters=filters
        )
    return Page.of([Alert.of(row) for row in rows], limit, key=lambda alert: alert.id)


@router.get("/alerts/{alert_id}")
async def get_alert(principal: ReadsAlerts, city: CityDep, alert_id: str) -> Alert:
    async with city.database.reading() as session:
        row = await alerts.get(session, alert_id)
    principal.check_camera(row.camera_id)
    return Alert.of(row)


@router.get("/incidents")
async def list_incidents(
    principal: ReadsAlerts,
    city: CityDep,
    limit: Limit = 100,
    cursor: Cursor = None,
    state: State | None = None,
    start_time: StartTime = None,
    end_time: EndTime = None,
) -> Page[Incident]:
    """Incidents, the newest first."""
    async with city.database.reading() as session:
        rows = await incidents.page(
            session,
            limit=limit + 1,
            before=cursor,
            only=principal.cameras,
            state=state,
            start_us=us_of(start_time),
            end_us=us_of(end_time),
        )
    return Page.of([Incident.of(row) for row in rows], limit, key=lambda incident: incident.id)


@router.get("/incidents/{incident_id}")
async def get_incident(principal: ReadsAlerts, city: CityDep, incident_id: str) -> IncidentDetail:
    """An incident with its alerts, and the people sighted at its cameras meanwhile."""
    async with city.database.reading() as session:
        return await incidents.detail(session, incident_id, principal.cameras)
