"""tracklets -> who is who -> sightings"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import structlog
from sqlalchemy import func, select
from ulid import ULID

from services.reid.core.identity import (
    Appearance,
    Belief,
    Candidate,
    IdentitySettings,
    Verdict,
    continued,
    recognised,
)
from services.reid.core.tracking import Step
from services.reid.gallery.belief import belief_of
from services.reid.gallery.tables import (
    OutboxRow,
    TrackletCursorRow,
    TrackletOutcomeRow,
    TrackletRow,
)
from shared.bus import Settlement
from shared.clock import SECOND_US, now_us
from shared.folding import Fold
from shared.messages import (
    Box,
    Detection,
    Outcome,
    PersonsSighted,
    Sighting,
    Tracklet,
    TrackletsEmbedded,
)
from shared.outbox import announce
from shared.patience import OUTAGES
from shared.topics import SIGHTINGS, partition_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from services.reid.gallery.spaces import Spaces
    from shared.bus import Delivery
    from shared.database import Database
    from shared.leases import Lease
    from shared.model_store import ModelStore
    from shared.outbox import Relay

log = structlog.get_logger(__name__)

NEIGHBOURS = 64
"""Nearest tracklets that are asked for when a track has no person yet (ours)."""


@dataclass
class Taking:
    """One transaction of the writer. found: persons it has given, which no index holds yet."""

    revision: int
    found: list[TrackletRow] = field(default_factory=list)

    def next_revision(self) -> int:
        self.revision += 1
        return self.revision


class GalleryWriter:
    """The one that gives tracklets their persons. Works under a lease that every transaction
    checks: a writer that was paused cannot write when it wakes."""

    def __init__(
        self,
        database: Database,
        spaces: Spaces,
        store: ModelStore,
        relay: Relay,
        partitions: int,
        settings: IdentitySettings,
    ) -> None:
        self._database = database
        self._spaces = spaces
        self._store = store
        self._relay = relay
        self._partitions = partitions
        self._settings = settings
        self._fold = Fold(
            "tracklets", database, cursors=TrackletCursorRow, outcomes=TrackletOutcomeRow
        )
        self._lease: Lease | None = None
        self._beliefs: dict[str, Belief] = {}

    def take_over(self, lease: Lease) -> None:
        """From now on this process writes, as long as the lease is its own."""
        self._lease = lease

    async def handle(self, message: TrackletsEmbedded, _: Delivery) -> Settlement:
        """Folds a clip's tracklets in their turn."""
        taking = Taking(0)
        async with self._database.writing() as session:
            await self._begin(session, taking)
            await self._fold.take(
                session, message, lambda row: self._step(session, row, taking), now_us()
            )
        await self._after(message.model_digest)
        return Settlement()

    async def bury(self, message: TrackletsEmbedded, delivery: Delivery, fault: str) -> Settlement:
        """Tracklets that cannot be taken are told as dead, so that the account comes out even."""
        log.error("tracklets_buried", clip=message.clip_id, fault=fault, entry=delivery.entry_id)
        dead = message.model_copy(
            update={"outcome": Outcome.DEAD, "reason": "gallery", "tracklets": ()}
        )
        return await self.handle(dead, delivery)

    async def skip_gaps(self) -> None:
        """Goes on behind gaps that were waited for long enough."""
        taking = Taking(0)
        async with self._database.writing() as session:
            await self._begin(session, taking)
            await self._fold.skip_gaps(
                session, lambda row: self._step(session, row, taking), now_us()
            )
        if taking.found:
            await self._after(taking.found[0].model_digest)

    async def watch_gaps(self, *, every_s: float = 1.0) -> None:
        """Until cancelled, or until the lease is lost."""
        while True:
            try:
                await self.skip_gaps()
            except OUTAGES as error:
                log.warning("gaps_wait", error=str(error))
            await asyncio.sleep(every_s)

    async def _begin(self, session: AsyncSession, taking: Taking) -> None:
        if self._lease is None:
            raise RuntimeError("the gallery is written to under a lease only")
        await self._lease.check(session)
        taking.revision = await session.scalar(select(func.max(TrackletRow.revision))) or 0

    async def _after(self, model_digest: str | None) -> None:
        """The next clip must find what this one has added."""
        self._relay.wake()
        if model_digest is not None:
            await (await self._spaces.of(model_digest)).follow()

    async def _step(self, session: AsyncSession, row: Any, taking: Taking) -> None:
        """One clip in its turn."""
        message = TrackletsEmbedded.unpack(row.body)
        row.body = None
        sighted: list[TrackletRow] = []
        if message.outcome is Outcome.DONE and message.tracklets:
            sighted = await self._identify(session, message, taking)
        outcome = PersonsSighted(
            **message.model_dump(
                include={
                    "camera_id",
                    "born",
                    "epoch",
                    "seq",
                    "captured_us",
                    "ready_us",
                    "clip_entry",
                    "outcome",
                    "reason",
                    "replayed",
                    "detected_us",
                }
            ),
            sightings=tuple(_sighting(row) for row in sighted),
        )
        partition = partition_of(message.camera_id, self._partitions)
        announce(session, OutboxRow, SIGHTINGS, outcome, partition)

    async def _identify(
        self, session: AsyncSession, message: TrackletsEmbedded, taking: Taking
    ) -> list[TrackletRow]:
        """Stores a clip's tracklets; returns all that have a person since, older ones included."""
        trails = await self._trails(session, message)
        found = [_appearance(tracklet) for tracklet in message.tracklets]
        links = continued([_appearance_of_row(trail) for trail in trails], found, self._settings)
        rows = [
            _row(message, tracklet, trails[links[n]] if n in links else None, taking)
            for n, tracklet in enumerate(message.tracklets)
        ]
        session.add_all(rows)
        unknown = [
            n
            for n, row in enumerate(rows)
            if row.person_id is None and row.quality >= self._settings.min_quality
        ]
        verdicts = await self._recognise(message, rows, found, unknown, taking)
        resolved = [row for row in rows if row.person_id is not None]
        for n, verdict in zip(unknown, verdicts, strict=True):
            resolved += await self._give_person(session, rows[n], verdict, taking)
        taking.found += resolved
        await session.flush()
        return resolved

    async def _trails(self, session: AsyncSession, message: TrackletsEmbedded) -> list[TrackletRow]:
        """The newest tracklet of every track that may go on in this clip."""
        start_us = min(d.captured_us for t in message.tracklets for d in t.detections)
        reach_us = int(self._settings.tracking.max_gap_s * SECOND_US)
        query = (
            select(TrackletRow)
            .where(
                TrackletRow.camera_id == message.camera_id,
                TrackletRow.end_us >= start_us - reach_us,
                TrackletRow.end_us < start_us + reach_us,
                TrackletRow.model_digest == message.model_digest,
            )
            .order_by(TrackletRow.end_us)
        )
        newest = {row.track_id: row for row in await session.scalars(query)}
        return list(newest.values())

    async def _recognise(
        self,
        message: TrackletsEmbedded,
        rows: Sequence[TrackletRow],
        found: Sequence[Appearance],
        unknown: Sequence[int],
        taking: Taking,
    ) -> list[Verdict]:
        if not unknown:
            return []
        space = await self._spaces.of(message.model_digest or "")
        candidates = []
        for n in unknown:
            hits = await space.search(found[n].vector, NEIGHBOURS)
            near = [Candidate(hit.entry.person_id, hit.similarity) for hit in hits]
            near += _alike(found[n], taking.found)
            candidates.append(near)
        beside = frozenset(row.person_id for row in rows if row.person_id is not None)
        together = dict.fromkeys(range(len(unknown)), beside)
        return recognised(candidates, together, await self._belief(message), self._settings)

    async def _belief(self, message: TrackletsEmbedded) -> Belief:
        """What the model's card makes of a similarity."""
        name = message.model or ""
        if name not in self._beliefs:
            card = (await asyncio.to_thread(self._store.load, name)).card
            self._beliefs[name] = belief_of(card)
        return self._beliefs[name]

    async def _give_person(
        self, session: AsyncSession, row: TrackletRow, verdict: Verdict, taking: Taking
    ) -> list[TrackletRow]:
        """Gives a tracklet its person, and the tracklets of its track that waited for one."""
        person_id = verdict.person_id or str(ULID())
        how = "alike" if verdict.person_id else "new"
        waiting = await session.scalars(
            select(TrackletRow).where(
                TrackletRow.track_id == row.track_id, TrackletRow.person_id.is_(None)
            )
        )
        given = [row, *(other for other in waiting if other is not row)]
        for other in given:
            other.person_id, other.confidence, other.how = person_id, verdict.belief, how
            other.revision = taking.next_revision()
        return given


def _alike(appearance: Appearance, rows: Sequence[TrackletRow]) -> list[Candidate]:
    """Candidates among what this transaction has added."""
    return [
        Candidate(row.person_id, float(appearance.vector @ _vector(row.vector)))
        for row in rows
        if row.person_id is not None
    ]


def _row(
    message: TrackletsEmbedded, tracklet: Tracklet, trail: TrackletRow | None, taking: Taking
) -> TrackletRow:
    """A new tracklet; one that continues a trail is of the trail's person."""
    times = [detection.captured_us for detection in tracklet.detections]
    known = trail is not None and trail.person_id is not None
    return TrackletRow(
        name=f"{message.clip_id}/{tracklet.n}",
        camera_id=message.camera_id,
        track_id=trail.track_id if trail else str(ULID()),
        start_us=min(times),
        end_us=max(times),
        boxes=[
            [d.captured_us, d.box.x, d.box.y, d.box.width, d.box.height]
            for d in tracklet.detections
        ],
        vector=tracklet.vector,
        model_digest=message.model_digest or "",
        quality=tracklet.quality,
        crop=tracklet.crop,
        person_id=trail.person_id if trail else None,
        confidence=trail.confidence if trail and known else 0.0,
        how="continued" if known else "waiting",
        revision=taking.next_revision(),
    )


def _appearance(tracklet: Tracklet) -> Appearance:
    steps = tuple(Step(d.captured_us / SECOND_US, d.box) for d in tracklet.detections)
    return Appearance(steps, _vector(tracklet.vector), tracklet.quality)


def _appearance_of_row(row: TrackletRow) -> Appearance:
    steps = tuple(
        Step(t / SECOND_US, Box(x=x, y=y, width=width, height=height))
        for t, x, y, width, height in row.boxes
    )
    return Appearance(steps, _vector(row.vector), row.quality)


def _vector(packed: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.frombuffer(packed, "<f2").astype(np.float32)


def _sighting(row: TrackletRow) -> Sighting:
    return Sighting(
        sighting_id=row.name,
        person_id=row.person_id or "",
        confidence=row.confidence,
        detections=tuple(
            Detection(captured_us=int(t), box=Box(x=x, y=y, width=width, height=height))
            for t, x, y, width, height in row.boxes
        ),
        crop=row.crop,
        quality=row.quality,
    )
