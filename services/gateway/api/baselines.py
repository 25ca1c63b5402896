"""/v1/baselines: what each camera has learnt; calibration by an alert budget, and the way back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncSession
from ulid import ULID

from services.gateway.api.dependencies import (
    WEEK,
    CityDep,
    HistoryDep,
    ReadsCameras,
    WritesCameras,
    footage_us,
    span_us,
)
from services.gateway.city import City
from services.gateway.core import calibration
from services.gateway.core.alarm import AlarmRule, rule_in_force
from services.gateway.core.baseline import STANDING_FRAMES
from services.gateway.core.camera import AlertBudget, Camera
from services.gateway.core.track import Track
from services.gateway.store import baselines, calibrations, cameras, footage
from services.gateway.store.baseline_resources import (
    BaselineResource,
    BaselineState,
    Calibration,
    ReplayedAlert,
    describe,
)
from services.gateway.store.cameras import camera_of
from services.gateway.store.tables import BaselineRow, CalibrationRow
from shared.clock import now_us
from shared.errors import Conflict, Missing
from shared.messages import Prior
from shared.paging import Page

router = APIRouter(prefix="/v1/baselines", tags=["baselines"])


class ExcludedSpan(BaseModel):
    """Half-open."""

    model_config = ConfigDict(extra="forbid")

    start_time: AwareDatetime
    end_time: AwareDatetime


class CalibrationAsked(BaseModel):
    """Normal footage, by default of the last week. budget_per_day: by default the camera's.
    exclude_alerts: confirmed alerts, whose frames are not normal; exclude: other such spans. Those
    in which the camera was tampered with are left out as well."""

    model_config = ConfigDict(extra="forbid")

    start_time: AwareDatetime | None = None
    end_time: AwareDatetime | None = None
    budget_per_day: AlertBudget | None = None
    exclude_alerts: Annotated[list[str], Field(max_length=1000)] = []
    exclude: Annotated[list[ExcludedSpan], Field(max_length=1000)] = []


THE_USUAL = CalibrationAsked()


class BaselineChange(BaseModel):
    """What a calibration, or its undoing, has changed."""

    calibration: Calibration
    before: BaselineState
    after: BaselineState


class CalibrationAnswer(BaselineChange):
    """open_score_low and _high: 90 % interval of the open score, by chance alone (null: unknown).
    alerts: that the new baseline and its threshold would have raised in the same footage."""

    open_score_low: float | None
    open_score_high: float | None
    alerts: list[ReplayedAlert]
    alerts_per_day: float


@dataclass(frozen=True)
class _Material:
    """What a calibration is made from. rule: the camera's, with the open score in force."""

    camera: Camera
    context: str
    prior: Prior
    rule: AlarmRule
    track: Track
    budget_per_day: float
    start_us: int
    end_us: int
    excluded: list[tuple[int, int]]


@router.get("/{camera_id}")
async def get_baseline(principal: ReadsCameras, city: CityDep, camera_id: str) -> BaselineResource:
    """What the camera has learnt so far, by the hour, and the rule that judges it."""
    principal.check_camera(camera_id)
    async with city.database.reading() as session:
        camera = camera_of(await cameras.find(session, camera_id))
        row = await _newest(session, camera_id)
        baseline = await baselines.load(session, camera_id, row.context)
        return describe(
            row,
            baseline,
            camera,
            rule_in_force(city.settings.alarm, camera.alarm_rule, baseline.open_score),
            budget_per_day=city.settings.alert_budget_per_day,
            calibration=await calibrations.newest_standing(session, row),
        )


@router.get("/{camera_id}/calibrations")
async def list_calibrations(history: HistoryDep) -> Page[Calibration]:
    """Who calibrated the camera, when, from what; the newest first."""
    return await history.page(CalibrationRow, Calibration.of)


@router.post("/{camera_id}/calibrate")
async def calibrate_baseline(
    principal: WritesCameras,
    city: CityDep,
    camera_id: str,
    asked: CalibrationAsked = THE_USUAL,
) -> CalibrationAnswer:
    """Builds the baseline anew from stored scores, and sets the threshold that keeps the budget."""
    principal.check_camera(camera_id)
    material = await _gather(city, camera_id, asked)
    found = await asyncio.to_thread(
        partial(
            calibration.calibrate,
            material.track,
            material.prior,
            material.rule,
            hour_of=material.camera.hour_of,
            budget_per_day=material.budget_per_day,
            silence_s=city.settings.offline_after_s,
        )
    )
    change = await _put_in_force(city, material, found, principal.key_id)
    return CalibrationAnswer(
        **change.model_dump(),
        open_score_low=found.threshold.low,
        open_score_high=found.threshold.high,
        alerts=[ReplayedAlert.of(alert) for alert in found.alerts],
        alerts_per_day=len(found.alerts) / material.track.days,
    )


@router.post("/{camera_id}/rollback")
async def roll_back_baseline(
    principal: WritesCameras, city: CityDep, camera_id: str
) -> BaselineChange:
    """Puts back the baseline, and its threshold, of before the newest calibration. What was learnt
    since is forgotten."""
    principal.check_camera(camera_id)
    async with city.database.writing() as session:
        camera = camera_of(await cameras.find(session, camera_id))
        row = await _newest(session, camera_id)
        held = await calibrations.hold(session, camera_id, row.context)
        before = await _state(city, session, camera, held)
        undone = await calibrations.undo_newest(session, held, principal.key_id)
        after = await _state(city, session, camera, held)
    return BaselineChange(calibration=Calibration.of(undone), before=before, after=after)


async def _gather(city: City, camera_id: str, asked: CalibrationAsked) -> _Material:
    """Raises Missing, Malformed, or Conflict where the camera cannot be calibrated as it is."""
    start_us, end_us = footage_us(asked.start_time, asked.end_time)
    excluded = [span_us(span.start_time, span.end_time, WEEK) for span in asked.exclude]
    async with city.database.reading() as session:
        camera = camera_of(await cameras.find(session, camera_id))
        if camera.alarm_rule is not None and camera.alarm_rule.open_score is not None:
            raise Conflict(
                f"the alarm_rule of camera {camera_id!r} names an open_score, which would stay in"
                " force; take it out first",
                code="open_score_fixed",
            )
        row = await _newest(session, camera_id)
        excluded += await footage.tampered(session, camera_id, start_us, end_us)
        excluded += await footage.spans_of(session, camera_id, asked.exclude_alerts, now_us())
        track = await footage.track(session, camera_id, start_us, end_us, row.context)
    track = track.without(excluded)
    if len(track) < STANDING_FRAMES:
        raise Conflict(
            f"only {len(track)} frames of that span were scored in the present context; a baseline"
            f" stands on {STANDING_FRAMES}",
            code="too_little_footage",
        )
    return _Material(
        camera=camera,
        context=row.context,
        prior=Prior.model_validate(row.prior),
        rule=rule_in_force(city.settings.alarm, camera.alarm_rule, row.open_score),
        track=track,
        budget_per_day=(
            asked.budget_per_day
            or camera.alert_budget_per_day
            or city.settings.alert_budget_per_day
        ),
        start_us=start_us,
        end_us=end_us,
        excluded=excluded,
    )


async def _put_in_force(
    city: City, material: _Material, found: calibration.Calibration, actor: str
) -> BaselineChange:
    camera = material.camera
    async with city.database.writing() as session:
        await cameras.find(session, camera.id)
        held = await calibrations.hold(session, camera.id, material.context)
        before = await _state(city, session, camera, held)
        row = CalibrationRow(
            id=str(ULID()),
            camera_id=camera.id,
            context=material.context,
            at_us=now_us(),
            actor=actor,
            start_us=material.start_us,
            end_us=material.end_us,
            excluded=[list(span) for span in material.excluded],
            frames=len(material.track),
            days=material.track.days,
            budget_per_day=material.budget_per_day,
            open_score=found.threshold.open_score,
            open_score_before=before.open_score,
            method=found.threshold.method,
        )
        await calibrations.record(session, held, row, found.baseline)
        after = await _state(city, session, camera, held)
    return BaselineChange(calibration=Calibration.of(row), before=before, after=after)


async def _state(
    city: City, session: AsyncSession, camera: Camera, row: BaselineRow
) -> BaselineState:
    baseline = await baselines.load(session, row.camera_id, row.context, hours=())
    rule = rule_in_force(city.settings.alarm, camera.alarm_rule, baseline.open_score)
    return BaselineState.of(baseline, Prior.model_validate(row.prior), rule.open_score)


async def _newest(session: AsyncSession, camera_id: str) -> BaselineRow:
    row = await baselines.newest(session, camera_id)
    if row is None:
        raise Missing(
            f"camera {camera_id!r} has learnt nothing yet: none of its clips was scored",
            code="no_baseline",
        )
    return row
