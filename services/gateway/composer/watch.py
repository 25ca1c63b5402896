"""A scored clip in its turn -> the camera's baseline and alarm -> alerts"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import ormsgpack

from services.gateway.composer.evidence import pending
from services.gateway.composer.tampering import TamperWatch, close_tampering
from services.gateway.composer.turns import alarm_of, close_open, follow
from services.gateway.core.alarm import (
    Alarm,
    Phase,
    Turn,
    fall_silent,
    hear,
    rule_in_force,
    severity_of,
)
from services.gateway.store import alerts, baselines
from services.gateway.store.cameras import camera_of
from services.gateway.store.tables import CameraRow, WatchRow
from shared.clock import SECOND_US
from shared.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from services.gateway.core.alarm import AlarmRule
    from services.gateway.core.baseline import Baseline, Levels
    from services.gateway.core.camera import Camera
    from services.gateway.core.tampering import TamperingRule
    from shared.messages import ClipScored, FrameScore, Prior

ABSORB_WHILE_OPEN_S = 600.0
"""An alert that stays open for longer is the camera's new normal: its frames teach the baseline
again (ours)."""


@dataclass
class Watch:
    """One camera's watch for the length of a transaction."""

    session: AsyncSession
    rule: AlarmRule
    tampering: TamperingRule
    now_us: int

    async def see(self, message: ClipScored) -> bytes | None:
        """Judges a clip, raises or ends what it raises or ends, then learns from it.

        While the camera is tampered with, nothing is an anomaly beside that; and what may be
        tampering teaches nothing.

        Returns its timeline, packed, or None for a camera that is gone.
        """
        camera_row = await self.session.get(CameraRow, message.camera_id)
        row = await self.session.get(WatchRow, message.camera_id)
        if camera_row is None or row is None:
            return None
        camera = camera_of(camera_row)
        tampering = TamperWatch(self.session, self.tampering, self.now_us)
        suspicion = await tampering.see(camera, row, message)
        alarm = await self._after_clock_jump(row, message)
        hours = [camera.hour_of(score.captured_us) for score in message.scores]
        baseline = await self._baseline(message, hours)
        # Somewhere one must begin: the very first clip is judged by what it has taught itself.
        first = baseline.frames == 0
        if first:
            baseline.absorb([score.error for score in message.scores], hours)
        levels = _levels(baseline, message, hours)
        # The camera's own rule, and on this very scale the open score of its calibration.
        self.rule = rule_in_force(self.rule, camera.alarm_rule, baseline.open_score)
        if suspicion is not Phase.OPEN:
            for score, scale in zip(message.scores, levels, strict=True):
                alarm = await self._hear(camera, alarm, score, scale, message)
        if not first and suspicion is Phase.QUIET and _may_teach(alarm, message):
            baseline.absorb([score.error for score in message.scores], hours)
        if message.context is not None:
            await baselines.save(
                self.session, message.camera_id, message.context, _prior(message), baseline
            )
        row.learning = baseline.levels(_prior(message)).learning
        row.alarm = alarm.model_dump(mode="json")
        return timeline_of(message, levels)

    async def look_back(self, message: ClipScored) -> bytes | None:
        """The timeline of a clip whose turn has passed: nothing is raised from the past.

        None for a camera that is gone.
        """
        row = await self.session.get(CameraRow, message.camera_id)
        if row is None:
            return None
        camera = camera_of(row)
        hours = [camera.hour_of(score.captured_us) for score in message.scores]
        baseline = await self._baseline(message, hours)
        return timeline_of(message, _levels(baseline, message, hours))

    async def _baseline(self, message: ClipScored, hours: Sequence[int]) -> Baseline:
        if message.context is None:
            raise Malformed(f"clip {message.clip_id} is scored, but says not with what")
        return await baselines.load(
            self.session, message.camera_id, message.context.key, set(hours)
        )

    async def _after_clock_jump(self, row: WatchRow, message: ClipScored) -> Alarm:
        """The camera's alarm. One of before the camera's clock was set back says nothing now."""
        alarm = alarm_of(row)
        newest = max(alarm.loud_us, alarm.closed_us or 0)
        if not message.captured_us or message.captured_us[0] >= newest:
            return alarm
        await close_open(self.session, alarm, self.now_us)
        return Alarm()

    async def _hear(
        self, camera: Camera, before: Alarm, score: FrameScore, levels: Levels, message: ClipScored
    ) -> Alarm:
        alarm, turn = hear(
            before,
            score.captured_us,
            levels.score(score.error),
            self.rule,
            learning=levels.learning,
        )
        if turn is Turn.OPENED:
            return await self._open(camera, alarm, score, levels, message)
        await follow(
            self.session,
            turn,
            before,
            alarm,
            severity=severity_of(alarm.peak_score, learning=levels.learning),
            regions=_regions(score),
            now_us=self.now_us,
        )
        return alarm

    async def _open(
        self, camera: Camera, alarm: Alarm, score: FrameScore, levels: Levels, message: ClipScored
    ) -> Alarm:
        row = await alerts.open_alert(
            self.session,
            camera,
            kind="anomaly",
            severity=severity_of(alarm.peak_score, learning=levels.learning),
            start_us=alarm.since_us,
            now_us=self.now_us,
            peak_us=alarm.peak_us,
            peak_score=alarm.peak_score,
            learning=levels.learning,
            model=message.context and message.context.model,
            context=message.context and message.context.key,
            regions=_regions(score),
            evidence=pending(message, levels),
            evidence_pending=True,
        )
        return alarm.model_copy(update={"alert_id": row.id})


async def close_silent(session: AsyncSession, row: WatchRow, now_us: int) -> None:
    """Closes the alerts of a camera whose frames have stopped."""
    await close_tampering(session, row, now_us)
    alarm = alarm_of(row)
    await close_open(session, alarm, now_us)
    row.alarm = fall_silent(alarm).model_dump(mode="json")


def timeline_of(message: ClipScored, levels: Sequence[Levels]) -> bytes:
    """Packed [captured_us, error, score] of each owned frame; levels: of each frame's hour."""
    return ormsgpack.packb(
        [
            [score.captured_us, score.error, scale.score(score.error)]
            for score, scale in zip(message.scores, levels, strict=True)
        ]
    )


def _levels(baseline: Baseline, message: ClipScored, hours: Sequence[int]) -> list[Levels]:
    """The scale of each frame, by its hour."""
    prior = _prior(message)
    by_hour = {hour: baseline.levels(prior, hour) for hour in set(hours)}
    return [by_hour[hour] for hour in hours]


def _may_teach(alarm: Alarm, message: ClipScored) -> bool:
    """An anomaly under way does not become normal, unless it stays."""
    if alarm.phase is Phase.QUIET or not message.captured_us:
        return True
    return message.captured_us[-1] - alarm.since_us > ABSORB_WHILE_OPEN_S * SECOND_US


def _prior(message: ClipScored) -> Prior:
    if message.prior is None:
        raise Malformed(f"clip {message.clip_id} is scored, but its model's prior is missing")
    return message.prior


def _regions(score: FrameScore) -> list[dict[str, float]]:
    return [region.model_dump(exclude={"confidence"}) for region in score.regions]
