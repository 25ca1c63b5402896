"""scores.v1 -> each camera's clips in their turn -> timeline, alerts, events.v1"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import ormsgpack
import structlog

from services.gateway.composer.quiet import QuietMoment, quiet_moment
from services.gateway.composer.tampering import alarms_of
from services.gateway.composer.watch import Watch
from services.gateway.core.alarm import Alarm, Phase
from services.gateway.core.tampering import suspicion
from services.gateway.store import accounts
from services.gateway.store.tables import CameraRow, ScoreCursorRow, ScoreOutcomeRow, WatchRow
from shared.bus import Settlement
from shared.clock import now_us
from shared.folding import Arrival, Fold
from shared.messages import ClipScored, Outcome
from shared.topics import Group, partition_of

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from services.gateway.composer.evidence import EvidenceKeeper
    from services.gateway.composer.quiet import QuietKeeper
    from services.gateway.composer.recorder import FootageRecorder
    from services.gateway.core.alarm import AlarmRule
    from services.gateway.core.tampering import TamperingRule
    from shared.bus import Bus, Delivery
    from shared.database import Database
    from shared.outbox import Relay

log = structlog.get_logger(__name__)


@dataclass
class Folding:
    """One transaction's folding. through: cameras and clip entries whose frames may be let go when
    it has committed. quiet: what may then be kept of them before."""

    now_us: int
    through: list[tuple[str, str]] = field(default_factory=list)
    quiet: list[QuietMoment] = field(default_factory=list)


class ScoreComposer:
    """Folds what the anomaly service says of each camera's clips."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        keeper: EvidenceKeeper,
        quiet: QuietKeeper,
        recorder: FootageRecorder,
        relay: Relay,
        rule: AlarmRule,
        tampering: TamperingRule,
    ) -> None:
        self._database = database
        self._bus = bus
        self._keeper = keeper
        self._quiet = quiet
        self._recorder = recorder
        self._relay = relay
        self._rule = rule
        self._tampering = tampering
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
        await self._keep_quiet(folding)
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
        await self._keep_quiet(folding)
        for camera_id in skipped:
            await self._keeper.save(camera_id)
        for camera_id, entry in folding.through:
            await self._bus.release(partition_of(camera_id, self._bus.partitions), [entry])

    async def _keep_quiet(self, folding: Folding) -> None:
        """Before any evidence: an alert of the same folding is held against these frames too."""
        for moment in folding.quiet:
            await self._quiet.keep(moment)
            await self._recorder.keep(moment)

    async def _is_alive(self, session: AsyncSession, camera_id: str) -> bool:
        row = await session.get(CameraRow, camera_id)
        return row is not None and row.deleted_us is None

    async def _note(self, session: AsyncSession, message: ClipScored, arrival: Arrival) -> None:
        await accounts.count(session, self._database, message, Group.ANOMALY)
        if arrival is Arrival.LATE and message.outcome is Outcome.DONE:
            row = await session.get(ScoreOutcomeRow, (message.camera_id, message.born, message.seq))
            if row is not None:
                watch = Watch(session, self._rule, self._tampering, now_us())
                row.timeline, row.body = await watch.look_back(message), None
                row.context = _context_of(message)

    async def _step(self, session: AsyncSession, row: Any, folding: Folding) -> None:
        """One clip in its turn."""
        message = ClipScored.unpack(row.body)
        row.body = None
        folding.through.append((message.camera_id, message.clip_entry))
        if message.outcome is Outcome.DONE:
            watch = Watch(session, self._rule, self._tampering, folding.now_us)
            row.timeline = await watch.see(message)
            row.context = _context_of(message)
            moment = await self._quiet_moment(session, message, row.timeline, watch.rule)
            folding.quiet += [] if moment is None else [moment]

    async def _quiet_moment(
        self, session: AsyncSession, message: ClipScored, timeline: bytes | None, rule: AlarmRule
    ) -> QuietMoment | None:
        """What may be kept of a clip. rule: the one in force at its camera."""
        row = await session.get(WatchRow, message.camera_id)
        if timeline is None or row is None or row.alarm is None:
            return None
        alarms = [Alarm.model_validate(row.alarm), *alarms_of(row).values()]
        if suspicion(alarms) is not Phase.QUIET:
            return None
        scores = [score for _, _, score in ormsgpack.unpackb(timeline)]
        return quiet_moment(message, scores, rule.close_score)


def _context_of(message: ClipScored) -> str | None:
    return message.context.key if message.context else None
