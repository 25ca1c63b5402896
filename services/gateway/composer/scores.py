"""scores.v1 -> timeline, baseline and alarm of the camera -> alerts, incidents, events.v1"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import ormsgpack
import structlog

from services.gateway.composer.evidence import pending
from services.gateway.core.alarm import Alarm, AlarmRule, Phase, Turn, close, hear, severity_of
from services.gateway.core.baseline import Baseline
from services.gateway.store import accounts, alerts
from services.gateway.store.cameras import camera_of
from services.gateway.store.tables import (
    BaselineRow,
    CameraRow,
    ScoreCursorRow,
    ScoreOutcomeRow,
    WatchRow,
)
from shared.bus import Settlement
from shared.clock import SECOND_US, now_us
from shared.folding import Arrival, Fold
from shared.messages import ClipScored, Outcome
from shared.topics import Group, partition_of

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from services.gateway.composer.evidence import EvidenceKeeper
    from services.gateway.core.baseline import Levels
    from services.gateway.core.camera import Camera
    from shared.bus import Bus, Delivery
    from shared.database import Database
    from shared.messages import FrameScore
    from shared.outbox import Relay

log = structlog.get_logger(__name__)

ABSORB_WHILE_OPEN_S = 600.0
"""An alert that stays open for longer is the camera's new normal: its frames teach the baseline
again (ours)."""


@dataclass
class Folding:
    """One transaction's folding. through: cameras and clip entries whose frames may be let go when
    it has committed."""

    now_us: int
    through: list[tuple[str, str]] = field(default_factory=list)


class ScoreComposer:
    """Folds what the anomaly service says of each camera's clips."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        keeper: EvidenceKeeper,
        relay: Relay,
        rule: AlarmRule,
    ) -> None:
        self._database = database
        self._bus = bus
        self._keeper = keeper
        self._relay = relay
        self._rule = rule
        self._fold = Fold("scores", database, cursors=ScoreCursorRow, outcomes=ScoreOutcomeRow)

    async def handle(self, message: ClipScored, _: Delivery) -> Settlement:
        """Folds an outcome; a clip whose turn has not come keeps its frames until it has."""
        folding = Folding(now_us())
        async with self._database.writing() as session:
            if not await self._is_alive(session, message.camera_id):
                return Settlement(release=(message.clip_entry,))
            arrival = await self._fold.take(
                session, message, lambda row: self._step(session, row, folding), folding.now_us
            )
            if arrival is not Arrival.REPEATED:
                await self._note(session, message, arrival)
            row = await session.get(ScoreOutcomeRow, (message.camera_id, message.born, message.seq))
            waits = row is not None and not row.folded and arrival is not Arrival.LATE
        self._relay.wake()
        await self._keeper.save(message.camera_id)
        through = {entry for _, entry in folding.through}
        return Settlement(release=tuple(through if waits else through | {message.clip_entry}))

    async def bury(self, message: ClipScored, delivery: Delivery, fault: str) -> Settlement:
        """A score that cannot be folded must not hold its camera up: the gap is skipped."""
        log.error("score_buried", clip=message.clip_id, fault=fault, entry=delivery.entry_id)
        return Settlement(release=(message.clip_entry,))

    async def skip_gaps(self) -> None:
        """Folds behind gaps that were waited for long enough, and lets those clips go."""
        folding = Folding(now_us())
        async with self._database.writing() as session:
            skipped = await self._fold.skip_gaps(
                session, lambda row: self._step(session, row, folding), folding.now_us
            )
        for camera_id in skipped:
            await self._keeper.save(camera_id)
        for camera_id, entry in folding.through:
            await self._bus.release(partition_of(camera_id, self._bus.partitions), [entry])

    async def _is_alive(self, session: AsyncSession, camera_id: str) -> bool:
        row = await session.get(CameraRow, camera_id)
        return row is not None and row.deleted_us is None

    async def _note(self, session: AsyncSession, message: ClipScored, arrival: Arrival) -> None:
        await accounts.count(session, self._database, message, Group.ANOMALY)
        if arrival is Arrival.LATE and message.outcome is Outcome.DONE:
            # Its turn has passed: the timeline is completed, no alarm is raised from the past.
            row = await session.get(ScoreOutcomeRow, (message.camera_id, message.born, message.seq))
            levels = await self._levels(session, message, absorb=False)
            if row is not None:
                row.timeline, row.body = _timeline(message.scores, levels), None

    async def _step(self, session: AsyncSession, row: Any, folding: Folding) -> None:
        """One clip in its turn."""
        message = ClipScored.unpack(row.body)
        row.body = None
        folding.through.append((message.camera_id, message.clip_entry))
        camera_row = await session.get(CameraRow, message.camera_id)
        watch = await session.get(WatchRow, message.camera_id)
        if message.outcome is not Outcome.DONE or camera_row is None or watch is None:
            return
        camera = camera_of(camera_row)
        alarm = await self._after_clock_jump(session, watch, message, folding)
        levels = await self._levels(session, message, absorb=_may_teach(alarm, message))
        row.timeline = _timeline(message.scores, levels)
        watch.learning = levels.learning
        for score in message.scores:
            alarm = await self._hear(session, camera, alarm, score, levels, message, folding)
        watch.alarm = alarm.model_dump(mode="json")

    async def _after_clock_jump(
        self, session: AsyncSession, watch: WatchRow, message: ClipScored, folding: Folding
    ) -> Alarm:
        """The camera's alarm. One of before the camera's clock was set back says nothing now."""
        alarm = Alarm.model_validate(watch.alarm) if watch.alarm else Alarm()
        newest = max(alarm.loud_us, alarm.closed_us or 0)
        if not message.captured_us or message.captured_us[0] >= newest:
            return alarm
        if alarm.phase is Phase.OPEN and alarm.alert_id:
            await alerts.close_alert(session, alarm.alert_id, alarm.loud_us, folding.now_us)
        return Alarm()

    async def _levels(self, session: AsyncSession, message: ClipScored, *, absorb: bool) -> Levels:
        """The camera's levels, after it has learned from this clip."""
        if message.context is None or message.prior is None:
            raise ValueError(f"clip {message.clip_id} is scored, but says not with what")
        key = (message.camera_id, message.context.key)
        row = await session.get(BaselineRow, key)
        baseline = Baseline(row.sketch if row else None)
        if absorb:
            baseline.absorb([score.error for score in message.scores])
            if row is None:
                row = BaselineRow(camera_id=key[0], context=key[1])
                session.add(row)
            row.frames, row.sketch, row.updated_us = baseline.frames, baseline.pack(), now_us()
        return baseline.levels(message.prior)

    async def _hear(
        self,
        session: AsyncSession,
        camera: Camera,
        alarm: Alarm,
        score: FrameScore,
        levels: Levels,
        message: ClipScored,
        folding: Folding,
    ) -> Alarm:
        before = alarm
        alarm, turn = hear(
            alarm,
            score.captured_us,
            levels.score(score.error),
            self._rule,
            learning=levels.learning,
        )
        severity = severity_of(alarm.peak_score, learning=levels.learning)
        regions = [region.model_dump(exclude={"confidence"}) for region in score.regions]
        if turn is Turn.OPENED:
            row = await alerts.open_alert(
                session,
                camera,
                kind="anomaly",
                severity=severity,
                start_us=alarm.since_us,
                now_us=folding.now_us,
                peak_us=alarm.peak_us,
                peak_score=alarm.peak_score,
                learning=levels.learning,
                model=message.context and message.context.model,
                context=message.context and message.context.key,
                regions=regions,
                evidence=pending(message),
                evidence_pending=True,
            )
            return alarm.model_copy(update={"alert_id": row.id})
        if turn is Turn.REOPENED and alarm.alert_id:
            await alerts.reopen_alert(session, alarm.alert_id, folding.now_us)
        if turn in (Turn.REOPENED, Turn.PEAKED) and alarm.alert_id:
            await alerts.raise_peak(
                session,
                alarm.alert_id,
                alarm.peak_us,
                alarm.peak_score,
                severity,
                regions,
                folding.now_us,
            )
        if turn is Turn.CLOSED and before.alert_id:
            await alerts.close_alert(session, before.alert_id, before.loud_us, folding.now_us)
        return alarm


async def close_silent(session: AsyncSession, watch: WatchRow, now: int) -> None:
    """Closes the alert of a camera whose frames have stopped."""
    alarm = Alarm.model_validate(watch.alarm) if watch.alarm else Alarm()
    if alarm.phase is Phase.OPEN and alarm.alert_id:
        await alerts.close_alert(session, alarm.alert_id, alarm.loud_us, now)
        watch.alarm = close(alarm).model_dump(mode="json")


def _may_teach(alarm: Alarm, message: ClipScored) -> bool:
    """An anomaly under way does not become normal, unless it stays."""
    if alarm.phase is not Phase.OPEN or not message.captured_us:
        return True
    return message.captured_us[-1] - alarm.since_us > ABSORB_WHILE_OPEN_S * SECOND_US


def _timeline(scores: tuple[FrameScore, ...], levels: Levels) -> bytes:
    """Packed [captured_us, error, score] of each owned frame."""
    return ormsgpack.packb(
        [[score.captured_us, score.error, levels.score(score.error)] for score in scores]
    )
