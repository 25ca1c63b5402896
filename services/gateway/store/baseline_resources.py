"""Baselines, calibrations and replayed alerts -> what REST shows."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal, Self

from pydantic import BaseModel

from services.gateway.core.alarm import AlarmRule, Severity
from services.gateway.core.baseline import HOUR_FRAMES, Baseline
from services.gateway.core.budget import Method
from services.gateway.store.resources import moment
from shared.clock import from_us
from shared.messages import Prior

if TYPE_CHECKING:
    from services.gateway.core.camera import Camera
    from services.gateway.core.replay import Raised
    from services.gateway.store.tables import BaselineRow, CalibrationRow

OpenScoreFrom = Literal["service", "calibration", "camera"]


class HourLevels(BaseModel):
    """An hour of the camera's day. stands: it holds frames enough to weigh more than the whole."""

    hour: int
    frames: int
    stands: bool
    usual_error: float
    rare_error: float


class BaselineState(BaseModel):
    """usual_error and rare_error: the raw errors that score 0 and 1 over the whole day. open_score:
    of the alarm rule in force."""

    frames: int
    learning: bool
    usual_error: float
    rare_error: float
    open_score: float

    @classmethod
    def of(cls, baseline: Baseline, prior: Prior, open_score: float) -> Self:
        levels = baseline.levels(prior)
        return cls(
            frames=baseline.frames,
            learning=levels.learning,
            usual_error=levels.usual,
            rare_error=levels.rare,
            open_score=open_score,
        )


class Span(BaseModel):
    """A half-open span of the camera's time."""

    start_time: datetime
    end_time: datetime


class Calibration(BaseModel):
    """A baseline that was built anew from the scores of a span. days: of footage in it. by and
    undone_by: the ids of keys."""

    id: str
    calibrated_at: datetime
    by: str
    start_time: datetime
    end_time: datetime
    excluded: list[Span]
    frames: int
    days: float
    budget_per_day: float
    open_score: float
    open_score_before: float
    method: Method
    undone_at: datetime | None
    undone_by: str | None

    @classmethod
    def of(cls, row: CalibrationRow) -> Self:
        return cls(
            id=row.id,
            calibrated_at=from_us(row.at_us),
            by=row.actor,
            start_time=from_us(row.start_us),
            end_time=from_us(row.end_us),
            excluded=[
                Span(start_time=from_us(start), end_time=from_us(end))
                for start, end in row.excluded
            ],
            frames=row.frames,
            days=row.days,
            budget_per_day=row.budget_per_day,
            open_score=row.open_score,
            open_score_before=row.open_score_before,
            method=Method(row.method),
            undone_at=moment(row.undone_us),
            undone_by=row.undone_by,
        )


class BaselineResource(BaselineState):
    """What a camera has learnt, in the context in which it was scored last.

    hours: those of the camera's day of which it has seen frames. rule: in force; open_score_from:
    whose open score that is. calibration: the last one that was not rolled back.
    """

    camera_id: str
    model: str
    model_digest: str
    provider: str
    precision: str
    time_zone: str
    hours: list[HourLevels]
    rule: AlarmRule
    open_score_from: OpenScoreFrom
    alert_budget_per_day: float
    calibration: Calibration | None
    updated_at: datetime


def describe(
    row: BaselineRow,
    baseline: Baseline,
    camera: Camera,
    rule: AlarmRule,
    *,
    budget_per_day: float,
    calibration: CalibrationRow | None,
) -> BaselineResource:
    """row: of which scoring and prior are known. rule: the one in force. budget_per_day: the
    service's, where the camera has none."""
    prior = Prior.model_validate(row.prior)
    return BaselineResource(
        **BaselineState.of(baseline, prior, rule.open_score).model_dump(),
        **(row.scoring or {}),
        camera_id=row.camera_id,
        time_zone=camera.time_zone or "UTC",
        hours=_hours(baseline, prior),
        rule=rule,
        open_score_from=_source(camera, baseline),
        alert_budget_per_day=camera.alert_budget_per_day or budget_per_day,
        calibration=Calibration.of(calibration) if calibration else None,
        updated_at=from_us(row.updated_us),
    )


def _hours(baseline: Baseline, prior: Prior) -> list[HourLevels]:
    return [
        HourLevels(
            hour=hour,
            frames=frames,
            stands=frames >= HOUR_FRAMES,
            usual_error=(levels := baseline.levels(prior, hour)).usual,
            rare_error=levels.rare,
        )
        for hour, frames in baseline.frames_by_hour.items()
    ]


def _source(camera: Camera, baseline: Baseline) -> OpenScoreFrom:
    if camera.alarm_rule is not None and camera.alarm_rule.open_score is not None:
        return "camera"
    return "service" if baseline.open_score is None else "calibration"


class ReplayedAlert(BaseModel):
    """An alert that a rule would have raised; all times are the camera's."""

    start_time: datetime
    end_time: datetime
    peak_time: datetime
    peak_score: float
    severity: Severity

    @classmethod
    def of(cls, alert: Raised) -> Self:
        return cls(
            start_time=from_us(alert.start_us),
            end_time=from_us(alert.end_us),
            peak_time=from_us(alert.peak_us),
            peak_score=round(alert.peak_score, 4),
            severity=alert.severity,
        )
