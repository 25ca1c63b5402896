"""A clip's tracklets -> whose they are"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import select
from ulid import ULID

from services.reid.core.identity import (
    Candidate,
    Stranger,
    Verdict,
    continued,
    recognised,
    ripe,
)
from services.reid.core.looks import Looks, pooled
from services.reid.gallery.belief import belief_of
from services.reid.gallery.gallery import is_sound
from services.reid.gallery.rows import appearance_of, looks_of, row_of, stands_of, stored_appearance
from services.reid.gallery.tables import How, TrackletRow
from services.reid.gallery.travels import graph_of, living
from shared.clock import SECOND_US

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from services.reid.core.camera_graph import CameraGraph
    from services.reid.core.identity import Belief, IdentitySettings
    from services.reid.core.overlap import Stand
    from services.reid.gallery.spaces import Spaces
    from shared.messages import Tracklet, TrackletsEmbedded
    from shared.model_store import ModelStore

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
        looks = pooled(looks_of(row) for row in rows)
        return cls(rows, looks, sum(len(row.boxes) for row in rows))

    @property
    def camera_id(self) -> str:
        return self.rows[0].camera_id

    @property
    def start_us(self) -> int:
        return min(row.start_us for row in self.rows)

    @property
    def stands(self) -> list[Stand]:
        return sorted(
            (stand for row in self.rows for stand in stands_of(row)), key=lambda it: it.time_s
        )

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


class Registrar:
    """Keeps the tracklets' tables: who continues whom, who is recognised, who is new. Works within
    the writer's transactions."""

    def __init__(self, spaces: Spaces, store: ModelStore, settings: IdentitySettings) -> None:
        self._spaces = spaces
        self._store = store
        self._settings = settings
        self._beliefs: dict[str, Belief] = {}
        self._graph: CameraGraph | None = None

    def unlearn(self) -> None:
        """What was learnt since the last commit never happened: the tables tell again."""
        self._graph = None

    async def heed_others(self, session: AsyncSession) -> None:
        """Others have changed the tables: whom a user merged away or forgot, nobody remembers."""
        if self._graph is not None:
            self._graph.keep(await living(session, self._graph.remembered))

    async def identify(
        self, session: AsyncSession, message: TrackletsEmbedded, taking: Taking
    ) -> list[TrackletRow]:
        """Stores a clip's tracklets; returns all that have a person since, older ones included."""
        trails = await self._trails(session, message)
        tracklets = _sound(message.tracklets)
        found = [appearance_of(tracklet) for tracklet in tracklets]
        links = continued([stored_appearance(trail) for trail in trails], found, self._settings)
        rows = [
            row_of(
                message,
                tracklet,
                trails[links[n]] if n in links else None,
                taking.next_revision(),
            )
            for n, tracklet in enumerate(tracklets)
        ]
        session.add_all(rows)
        await session.flush()
        resolved = [row for row in rows if row.person_id is not None]
        if self._graph is None:
            self._graph = await graph_of(
                session, self._settings.graph, before=taking.revision - len(rows)
            )
        _saw(self._graph, resolved)
        tracks = await self._ready(session, message, taking)
        verdicts = await self._recognise(session, message, tracks, taking, self._graph)
        for track, verdict in zip(tracks, verdicts, strict=True):
            if not self._waits(track, verdict, message):
                resolved += _give_person(track, verdict, taking)
                self._graph.learn(track.camera_id, track.start_us / SECOND_US, verdict.beliefs)
                self._graph.known += verdict.person_id is None
                _saw(self._graph, track.rows)
        taking.found += resolved
        await session.flush()
        return resolved

    def _waits(self, track: WaitingTrack, verdict: Verdict, message: TrackletsEmbedded) -> bool:
        """Whether a doubtful track that goes on is looked at for a while longer."""
        ended_us = message.captured_us[-1] - int(self._settings.tracking.max_gap_s * SECOND_US)
        doubtful = verdict.belief < self._settings.sure_belief
        return doubtful and track.end_us >= ended_us and track.sights < self._settings.most_sights

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
        graph: CameraGraph,
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
            beside = await _beside(session, message.camera_id, track)
            strangers.append(Stranger(near, beside))
        belief = await self._belief(message)
        return await asyncio.to_thread(_judged, tracks, strangers, graph, belief, self._settings)

    async def _belief(self, message: TrackletsEmbedded) -> Belief:
        """What the model's card makes of a similarity."""
        name = message.model or ""
        if name not in self._beliefs:
            card = (await asyncio.to_thread(self._store.load, name)).card
            self._beliefs[name] = belief_of(card)
        return self._beliefs[name]


def _judged(
    tracks: Sequence[WaitingTrack],
    strangers: Sequence[Stranger],
    graph: CameraGraph,
    belief: Belief,
    settings: IdentitySettings,
) -> list[Verdict]:
    """In two rounds: who they may be tells how pictures overlap, and that tells who they are."""
    by_time = [graph.chances(it.camera_id, it.start_us / SECOND_US) for it in tracks]
    verdicts: list[Verdict] = []
    for _ in range(2):
        for track, verdict in zip(tracks, verdicts, strict=False):
            graph.suppose(track.camera_id, track.stands, verdict.beliefs)
        placed = [
            replace(stranger, chances=graph.placed(chances, track.camera_id, track.stands))
            for track, stranger, chances in zip(tracks, strangers, by_time, strict=True)
        ]
        verdicts = recognised(placed, belief, settings)
    return verdicts


def _saw(graph: CameraGraph, rows: Sequence[TrackletRow]) -> None:
    for row in rows:
        graph.see(row.person_id or "", row.camera_id, stands_of(row), row.confidence)


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
        Candidate(row.person_id, looks.likeness(looks_of(row)))
        for row in rows
        if row.person_id is not None
    ]


def _sound(tracklets: Sequence[Tracklet]) -> list[Tracklet]:
    """A vector that is none costs its own tracklet, told, and nobody else of the clip."""
    sound = [tracklet for tracklet in tracklets if is_sound(tracklet.vector)]
    if len(sound) < len(tracklets):
        log.warning("tracklets_refused", crops=[t.crop for t in tracklets if t not in sound])
    return sound
