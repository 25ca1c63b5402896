"""tracklets -> who is who -> sightings"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import structlog
from sqlalchemy import select
from ulid import ULID

from services.reid.core.identity import (
    Appearance,
    Belief,
    Candidate,
    IdentitySettings,
    Stranger,
    Verdict,
    continued,
    recognised,
    ripe,
)
from services.reid.core.looks import Looks, pooled
from services.reid.core.tracking import Step
from services.reid.gallery.belief import belief_of
from services.reid.gallery.gallery import is_sound
from services.reid.gallery.revisions import newest_revision
from services.reid.gallery.tables import (
    How,
    OutboxRow,
    TrackletCursorRow,
    TrackletOutcomeRow,
    TrackletRow,
)
from shared.bus import Settlement
from shared.clock import SECOND_US, now_us
from shared.folding import Arrival, Fold
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


@dataclass(frozen=True, eq=False)
class WaitingTrack:
    """The tracklets of a track that has no person yet, as one. sights: its boxes."""

    rows: Sequence[TrackletRow]
    looks: Looks
    sights: int

    @classmethod
    def of(cls, rows: Sequence[TrackletRow]) -> WaitingTrack:
        looks = pooled(_looks(row) for row in rows)
        return cls(rows, looks, sum(len(row.boxes) for row in rows))

    @property
    def start_us(self) -> int:
        return min(row.start_us for row in self.rows)

    @property
    def end_us(self) -> int:
        return max(row.end_us for row in self.rows)


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
        """Folds a clip's tracklets in their turn, or at once where their turn has passed: a worker
        that was slow is no reason to lose the people it saw, nor to owe the clip's outcome."""
        taking = Taking(0)
        async with self._database.writing() as session:
            await self._begin(session, taking)
            arrival = await self._fold.take(
                session, message, lambda row: self._step(session, row, taking), now_us()
            )
            if arrival is Arrival.LATE:
                key = (message.camera_id, message.born, message.seq)
                await self._step(session, await session.get_one(TrackletOutcomeRow, key), taking)
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
        taking.revision = await newest_revision(session)

    async def _after(self, model_digest: str | None) -> None:
        """The next clip must find what this one has added."""
        self._relay.wake()
        if model_digest is not None:
            await (await self._spaces.of(model_digest)).follow()

    async def _step(self, session: AsyncSession, row: Any, taking: Taking) -> None:
        """One clip's people, and its outcome."""
        message = TrackletsEmbedded.unpack(row.body)
        row.body = None
        sighted: list[TrackletRow] = []
        if message.outcome is Outcome.DONE:
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
        tracklets = _sound(message.tracklets)
        found = [_appearance(tracklet) for tracklet in tracklets]
        links = continued([_appearance_of_row(trail) for trail in trails], found, self._settings)
        rows = [
            _row(message, tracklet, trails[links[n]] if n in links else None, taking)
            for n, tracklet in enumerate(tracklets)
        ]
        session.add_all(rows)
        await session.flush()
        resolved = [row for row in rows if row.person_id is not None]
        tracks = await self._ready(session, message, taking)
        verdicts = await self._recognise(session, message, tracks, taking)
        for track, verdict in zip(tracks, verdicts, strict=True):
            resolved += _give_person(track, verdict, taking)
        taking.found += resolved
        await session.flush()
        return resolved

    async def _trails(self, session: AsyncSession, message: TrackletsEmbedded) -> list[TrackletRow]:
        """The newest tracklet of every track that may go on in this clip."""
        if not message.tracklets:
            return []
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

    async def _ready(
        self, session: AsyncSession, message: TrackletsEmbedded, taking: Taking
    ) -> list[WaitingTrack]:
        """The camera's tracks without a person that have shown enough of themselves, or have ended.
        Those that ended and showed too little are nobody."""
        query = (
            select(TrackletRow)
            .where(TrackletRow.camera_id == message.camera_id, TrackletRow.how == How.WAITING)
            .order_by(TrackletRow.id)
        )
        rows_of: dict[str, list[TrackletRow]] = {}
        for row in await session.scalars(query):
            rows_of.setdefault(row.track_id, []).append(row)
        ended_us = message.captured_us[-1] - int(self._settings.tracking.max_gap_s * SECOND_US)
        ready = []
        for track in map(WaitingTrack.of, rows_of.values()):
            goes_on = track.end_us >= ended_us
            if goes_on and not ripe(track.looks, track.sights, self._settings):
                continue
            # A model that is no longer in use will never see more of it.
            comparable = track.rows[0].model_digest == message.model_digest
            if comparable and track.looks.quality >= self._settings.min_quality:
                ready.append(track)
                continue
            for row in track.rows:
                row.how, row.revision = How.NOBODY, taking.next_revision()
        return ready

    async def _recognise(
        self,
        session: AsyncSession,
        message: TrackletsEmbedded,
        tracks: Sequence[WaitingTrack],
        taking: Taking,
    ) -> list[Verdict]:
        if not tracks:
            return []
        space = await self._spaces.of(message.model_digest or "")
        # This transaction lets nobody else write: whoever was forgotten before it is known by none.
        await space.follow()
        strangers = []
        for track in tracks:
            answer = await space.search(track.looks.vector, NEIGHBOURS)
            near = [Candidate(hit.person_id, hit.similarity) for hit in answer.hits]
            near += _alike(track.looks, taking.found)
            strangers.append(Stranger(near, await _beside(session, message.camera_id, track)))
        return recognised(strangers, await self._belief(message), self._settings)

    async def _belief(self, message: TrackletsEmbedded) -> Belief:
        """What the model's card makes of a similarity."""
        name = message.model or ""
        if name not in self._beliefs:
            card = (await asyncio.to_thread(self._store.load, name)).card
            self._beliefs[name] = belief_of(card)
        return self._beliefs[name]


async def _beside(session: AsyncSession, camera_id: str, track: WaitingTrack) -> frozenset[str]:
    """Persons that the camera saw while it saw this track."""
    query = select(TrackletRow.person_id).where(
        TrackletRow.camera_id == camera_id,
        TrackletRow.end_us >= track.start_us,
        TrackletRow.start_us <= track.end_us,
        TrackletRow.person_id.is_not(None),
    )
    return frozenset(person for person in await session.scalars(query) if person is not None)


def _give_person(track: WaitingTrack, verdict: Verdict, taking: Taking) -> Sequence[TrackletRow]:
    """All tracklets of a track get its person."""
    person_id = verdict.person_id or str(ULID())
    for row in track.rows:
        row.person_id, row.confidence = person_id, verdict.belief
        row.how = How.ALIKE if verdict.person_id else How.NEW
        row.revision = taking.next_revision()
    return track.rows


def _alike(looks: Looks, rows: Sequence[TrackletRow]) -> list[Candidate]:
    """Candidates among what this transaction has added."""
    return [
        Candidate(row.person_id, looks.likeness(_looks(row)))
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
        how=How.CONTINUED if known else How.WAITING,
        revision=taking.next_revision(),
    )


def _appearance(tracklet: Tracklet) -> Appearance:
    steps = tuple(Step(d.captured_us / SECOND_US, d.box) for d in tracklet.detections)
    return Appearance(steps, _looks(tracklet))


def _appearance_of_row(row: TrackletRow) -> Appearance:
    steps = tuple(
        Step(t / SECOND_US, Box(x=x, y=y, width=width, height=height))
        for t, x, y, width, height in row.boxes
    )
    return Appearance(steps, _looks(row))


def _looks(stored: Tracklet | TrackletRow) -> Looks:
    return Looks(np.frombuffer(stored.vector, "<f2").astype(np.float32), stored.quality)


def _sound(tracklets: Sequence[Tracklet]) -> list[Tracklet]:
    """A vector that is none costs its own tracklet, told, and nobody else of the clip."""
    sound = [tracklet for tracklet in tracklets if is_sound(tracklet.vector)]
    if len(sound) < len(tracklets):
        log.warning("tracklets_refused", crops=[t.crop for t in tracklets if t not in sound])
    return sound


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
