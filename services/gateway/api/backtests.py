"""/v1/cameras/{camera_id}/backtest: an alarm rule, tried on stored scores before it is enabled."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel, ConfigDict

from services.gateway.api.dependencies import CityDep, TriesRules, footage_us
from services.gateway.core.alarm import AlarmRule, OwnRule, rule_in_force
from services.gateway.core.replay import Raised, replay
from services.gateway.store import baselines, cameras, footage
from services.gateway.store.baseline_resources import ReplayedAlert
from services.gateway.store.cameras import camera_of
from services.gateway.store.resources import Alert
from services.gateway.store.tables import AlertRow

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
    """What a rule would have raised. days: of scored footage. missed: alerts that were really
    raised in the span and that overlap with none of these."""

    camera_id: str
    rule: AlarmRule
    frames: int
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
    """Tries a rule on the scores as they were stored. Nothing is stored or raised."""
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
        track = await footage.track(session, camera_id, start_us, end_us)
        real = await footage.raised(session, camera_id, start_us, end_us)
    found = await asyncio.to_thread(replay, track, rule, city.settings.offline_after_s)
    alerts = [_matched(alert, real) for alert in found]
    kept = {alert_id for alert in alerts for alert_id in alert.alert_ids}
    return Backtest(
        camera_id=camera_id,
        rule=rule,
        frames=len(track),
        days=track.days,
        alerts=alerts,
        alerts_per_day=len(alerts) / track.days if track.days else None,
        missed=[Alert.of(row) for row in real if row.id not in kept],
    )


def _matched(alert: Raised, real: list[AlertRow]) -> BacktestedAlert:
    return BacktestedAlert(
        **ReplayedAlert.of(alert).model_dump(),
        alert_ids=[row.id for row in real if alert.overlaps(row.start_us, row.end_us)],
    )
