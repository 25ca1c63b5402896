"""A scored clip's signs of tampering -> the camera's alarm of each kind -> alerts"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.gateway.composer.evidence import pending_view
from services.gateway.composer.turns import alarm_of, close_open, follow
from services.gateway.core.alarm import Alarm, Phase, Turn, fall_silent, hear
from services.gateway.core.kinds import SEVERITIES, TAMPERING
from services.gateway.core.tampering import is_part_of, suspicion
from services.gateway.store import alerts
from services.gateway.store.tables import AlertRow

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from services.gateway.core.camera import Camera
    from services.gateway.core.kinds import AlertKind
    from services.gateway.core.tampering import TamperingRule
    from services.gateway.store.tables import WatchRow
    from shared.messages import ClipScored

Alarms = dict[str, Alarm]


def alarms_of(row: WatchRow) -> Alarms:
    """The camera's alarm for each sign."""
    stored = row.tampering or {}
    return {sign: Alarm.model_validate(stored.get(sign, {})) for sign in TAMPERING}


@dataclass
class TamperWatch:
    """One camera's watch for tampering, for the length of a transaction."""

    session: AsyncSession
    rule: TamperingRule
    now_us: int

    async def see(self, camera: Camera, row: WatchRow, message: ClipScored) -> Phase:
        """Raises or ends what a clip's signs raise or end, and says how the camera stands.

        What looks unusual because the camera was tampered with is told once: an anomaly of these
        moments becomes the tampering's alert, an older one ends where the tampering began.
        """
        alarms = await self._after_clock_jump(alarms_of(row), message)
        if message.tampering is not None and message.captured_us:
            for sign in TAMPERING:
                score = getattr(message.tampering, sign)
                # A clip has one view: it held from its first owned frame to its last.
                for captured_us in (message.captured_us[0], message.captured_us[-1]):
                    alarms[sign] = await self._hear(
                        camera, row, sign, alarms[sign], captured_us, score, message
                    )
        row.tampering = _stored(alarms)
        return suspicion(alarms.values())

    async def _hear(
        self,
        camera: Camera,
        row: WatchRow,
        sign: str,
        before: Alarm,
        captured_us: int,
        score: float,
        message: ClipScored,
    ) -> Alarm:
        alarm, turn = hear(before, captured_us, score, self.rule.alarm_rule, learning=False)
        if turn is Turn.OPENED:
            return await self._open(camera, row, sign, alarm, message)
        severity = SEVERITIES[TAMPERING[sign]]
        await follow(
            self.session, turn, before, alarm, severity=severity, regions=[], now_us=self.now_us
        )
        if turn is Turn.REOPENED and alarm.alert_id:
            await self._end_anomaly(row, alarm.since_us)
        return alarm

    async def _open(
        self, camera: Camera, row: WatchRow, sign: str, alarm: Alarm, message: ClipScored
    ) -> Alarm:
        kind = TAMPERING[sign]
        alert = await self._retold(row, kind, alarm, message)
        if alert is None:
            await self._end_anomaly(row, alarm.since_us)
            alert = await alerts.open_alert(
                self.session,
                camera,
                kind=kind,
                severity=SEVERITIES[kind],
                start_us=alarm.since_us,
                now_us=self.now_us,
                peak_us=alarm.peak_us,
                peak_score=alarm.peak_score,
                evidence=pending_view(message),
                evidence_pending=True,
            )
        return alarm.model_copy(update={"alert_id": alert.id})

    async def _retold(
        self, row: WatchRow, kind: AlertKind, alarm: Alarm, message: ClipScored
    ) -> AlertRow | None:
        """The anomaly with which the tampering began, now told as such; None where none was."""
        anomaly = alarm_of(row)
        alert = await self.session.get(AlertRow, anomaly.alert_id) if anomaly.alert_id else None
        if alert is None or not is_part_of(alert.start_us, alarm.since_us):
            return None
        row.alarm = Alarm().model_dump(mode="json")
        if not alert.evidence_pending:
            seen = alert.evidence.get("frames", [])
            alert.evidence = pending_view(message, before=seen)
            alert.evidence_pending = True
        await alerts.retell_alert(
            self.session,
            alert,
            kind=kind,
            severity=SEVERITIES[kind],
            peak_us=alarm.peak_us,
            peak_score=alarm.peak_score,
            now_us=self.now_us,
        )
        return alert

    async def _end_anomaly(self, row: WatchRow, rise_us: int) -> None:
        """From here on nothing more is heard of it."""
        anomaly = alarm_of(row)
        if anomaly.phase is Phase.OPEN and anomaly.alert_id:
            end_us = min(anomaly.loud_us, rise_us)
            await alerts.close_alert(self.session, anomaly.alert_id, end_us, self.now_us)
        row.alarm = fall_silent(anomaly).model_dump(mode="json")

    async def _after_clock_jump(self, alarms: Alarms, message: ClipScored) -> Alarms:
        """Those of before the camera's clock was set back say nothing now."""
        newest = max(max(it.since_us, it.loud_us, it.closed_us or 0) for it in alarms.values())
        if not message.captured_us or message.captured_us[0] >= newest:
            return alarms
        for alarm in alarms.values():
            await close_open(self.session, alarm, self.now_us)
        return {sign: Alarm() for sign in TAMPERING}


async def close_tampering(session: AsyncSession, row: WatchRow, now_us: int) -> None:
    """Closes what is open of a camera whose frames have stopped: it is offline now, no more."""
    alarms = alarms_of(row)
    for alarm in alarms.values():
        await close_open(session, alarm, now_us)
    row.tampering = _stored({sign: fall_silent(alarm) for sign, alarm in alarms.items()})


def _stored(alarms: Alarms) -> dict[str, object]:
    return {sign: alarm.model_dump(mode="json") for sign, alarm in alarms.items()}
