"""/v1/cameras/{camera_id}/backtest: an alarm rule, tried on stored scores before it is enabled."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel, ConfigDict
from sqlalchemy.ext.asyncio import AsyncSession

from services.gateway.api.dependencies import CityDep, TriesRules, footage_us
from services.gateway.core.alarm import AlarmRule, OwnRule, rule_in_force
from services.gateway.core.camera import Camera
from services.gateway.core.replay import Raised, replay
from services.gateway.core.track import Track
from services.gateway.store import baselines, calibrations, cameras, footage
from services.gateway.store.baseline_resources import ReplayedAlert
from services.gateway.store.cameras import camera_of
from services.gateway.store.resources import Alert
from services.gateway.store.tables import AlertRow, BaselineRow
from shared.messages import Prior

router = APIRouter(prefix="/v1/cameras", tags=["baselines"])


class BacktestAsked(BaseModel):
    """alarm_rule: to be tried, as `PATCH /v1/cameras/{camera_id}` takes it; what it does not name
    is as in the rule in force. The span is by default the last week."""

    model_config = ConfigDict(extra="forbid")

    alarm_rule: OwnRule = OwnRule()
    start_time: AwareDatetime | None = None
    end_time: AwareDatetime | None = None


RULE_IN_FORCE = BacktestAsked()


class BacktestedAlert(ReplayedAlert):
    """alert_ids: those really raised that overlap it."""

    alert_ids: list[str]


class Backtest(BaseModel):
    """What a rule would have raised. days: of scored footage. rescaled: so many of its frames have
    the score that the present baseline gives them; the others have theirs as it was stored. missed:
    alerts that were really raised in the span and that overlap with none of these."""

    camera_id: str
    rule: AlarmRule
    frames: int
    rescaled: int
    days: float
    alerts: list[BacktestedAlert]
    alerts_per_day: float | None
    missed: list[Alert]


@router.post("/{camera_id}/backtest")
async def backtest(
    principal: TriesRules,
    city: CityDep,
    camera_id: str,
    asked: BacktestAsked = RULE_IN_FORCE,
) -> Backtest:
    """Tries a rule on stored scores. Nothing is stored or raised.

    Where the camera was calibrated, its scores stand on more than one scale: those of the model
    that scores it now are made anew from the stored errors, by the baseline that stands now. What
    another model has scored is taken as it was stored.
    """
    principal.check_camera(camera_id)
    start_us, end_us = footage_us(asked.start_time, asked.end_time)
    async with city.database.reading() as session:
        camera = camera_of(await cameras.find(session, camera_id))
        row = await baselines.newest(session, camera_id)
        standing = rule_in_force(
            city.settings.alarm, camera.alarm_rule, row.open_score if row else None
        )
        asked.alarm_rule.check_over(standing)
        rule = rule_in_force(standing, asked.alarm_rule, None)
        track, rescaled = await _scored(session, camera, row, start_us, end_us)
        real = await footage.raised(session, camera_id, start_us, end_us)
    found = await asyncio.to_thread(replay, track, rule, city.settings.offline_after_s)
    alerts = [_matched(alert, real) for alert in found]
    kept = {alert_id for alert in alerts for alert_id in alert.alert_ids}
    return Backtest(
        camera_id=camera_id,
        rule=rule,
        frames=len(track),
        rescaled=rescaled,
        days=track.days,
        alerts=alerts,
        alerts_per_day=len(alerts) / track.days if track.days else None,
        missed=[Alert.of(row) for row in real if row.id not in kept],
    )


async def _scored(
    session: AsyncSession, camera: Camera, row: BaselineRow | None, start_us: int, end_us: int
) -> tuple[Track, int]:
    """The camera's frames, and how many of them are scored anew. row: its baseline."""
    if row is None or not await calibrations.has_any(session, row):
        return await footage.track(session, camera.id, start_us, end_us), 0
    track = await footage.track(session, camera.id, start_us, end_us, row.context)
    others = await footage.track(session, camera.id, start_us, end_us, row.context, others=True)
    baseline = await baselines.load(session, camera.id, row.context)
    prior = Prior.model_validate(row.prior)

    def anew() -> Track:
        return track.scored_by(baseline, prior, track.hours(camera.hour_of)).with_others(others)

    return await asyncio.to_thread(anew), len(track)


def _matched(alert: Raised, real: list[AlertRow]) -> BacktestedAlert:
    return BacktestedAlert(
        **ReplayedAlert.of(alert).model_dump(),
        alert_ids=[row.id for row in real if alert.overlaps(row.start_us, row.end_us)],
    )
