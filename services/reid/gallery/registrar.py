"""A clip's tracklets -> whose they are"""

from __future__ import annotations

import asyncio
from contextlib import suppress
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
from services.reid.gallery.belief import belief_of
from services.reid.gallery.gallery import is_sound
from services.reid.gallery.rows import appearance_of, looks_of, row_of, stands_of, stored_appearance
from services.reid.gallery.tables import NEVER_TAKEN, ForgottenRow, How, TrackletRow
from services.reid.gallery.travels import graph_of, living
from services.reid.gallery.waiting import beside, waiting_at
from shared.clock import SECOND_US
from shared.errors import Corrupt, Missing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from services.reid.core.camera_graph import CameraGraph
    from services.reid.core.identity import Belief, IdentitySettings
    from services.reid.gallery.spaces import Spaces
    from services.reid.gallery.waiting import WaitingTrack
    from shared.messages import Tracklet, TrackletsEmbedded
    from shared.model_store import ModelStore

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

    def dropped(self, tracklets: Sequence[Tracklet]) -> list[ForgottenRow]:
        """Tombstones of tracklets that are not taken: no row leads to their crops, so they go."""
        return [
            ForgottenRow(revision=self.next_revision(), tracklet_id=NEVER_TAKEN, crop=it.crop)
            for it in tracklets
        ]


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
        session.add_all(taking.dropped([it for it in message.tracklets if it not in tracklets]))
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
        ended_us = message.captured_us[-1] - int(self._settings.tracking.max_gap_s * SECOND_US)
        waiting = await waiting_at(session, message.camera_id)
        tracks = self._ready(waiting, message.model_digest, ended_us, taking)
        if tracks:
            belief = await self._belief(message.model or "")
            resolved += await self._judge(session, tracks, belief, ended_us, taking)
        taking.found += resolved
        await session.flush()
        return resolved

    async def judge_silent(
        self, session: AsyncSession, camera_id: str, taking: Taking
    ) -> list[TrackletRow]:
        """Of a camera from which no clip comes any more, nothing goes on: its tracks are judged by
        what there is. Those of a model that is not in the store wait for it."""
        waiting = await waiting_at(session, camera_id)
        resolved: list[TrackletRow] = []
        for digest in dict.fromkeys(track.model_digest for track in waiting):
            if (belief := await self._stored_belief(digest)) is None:
                continue
            of_model = [track for track in waiting if track.model_digest == digest]
            ended_us = max(track.end_us for track in of_model) + 1
            if tracks := self._ready(of_model, digest, ended_us, taking):
                resolved += await self._judge(session, tracks, belief, ended_us, taking)
        taking.found += resolved
        await session.flush()
        return resolved

    async def _judge(
        self,
        session: AsyncSession,
        tracks: Sequence[WaitingTrack],
        belief: Belief,
        ended_us: int,
        taking: Taking,
    ) -> list[TrackletRow]:
        """Tracks of one camera and model; returns the tracklets of those that have a person now."""
        if self._graph is None:
            self._graph = await graph_of(session, self._settings.graph, before=taking.revision)
        strangers = await self._strangers(session, tracks, taking)
        verdicts = await asyncio.to_thread(
            _judged, tracks, strangers, self._graph, belief, self._settings
        )
        resolved: list[TrackletRow] = []
        for track, verdict in zip(tracks, verdicts, strict=True):
            if not self._waits(track, verdict, ended_us):
                resolved += _give_person(track, verdict, taking)
                self._graph.learn(track.camera_id, track.start_us / SECOND_US, verdict.beliefs)
                self._graph.known += verdict.person_id is None
                _saw(self._graph, track.rows)
        return resolved

    def _waits(self, track: WaitingTrack, verdict: Verdict, ended_us: int) -> bool:
        """Whether a doubtful track that goes on is looked at for a while longer."""
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

    def _ready(
        self, waiting: Sequence[WaitingTrack], digest: str | None, ended_us: int, taking: Taking
    ) -> list[WaitingTrack]:
        """The tracks that have shown enough of themselves, or have ended. Those that ended and
        showed too little are nobody. ended_us: who was not seen since will not be seen again."""
        ready = []
        for track in waiting:
            goes_on = track.end_us >= ended_us
            if goes_on and not ripe(track.looks, track.sights, self._settings):
                continue
            # A model that is no longer in use will never see more of it.
            comparable = track.model_digest == digest
            if comparable and track.looks.quality >= self._settings.min_quality:
                ready.append(track)
                continue
            for row in track.rows:
                row.how, row.revision = How.NOBODY, taking.next_revision()
        return ready

    async def _strangers(
        self, session: AsyncSession, tracks: Sequence[WaitingTrack], taking: Taking
    ) -> list[Stranger]:
        """Whom each of the tracks, of one model, looks like, and who was in sight beside it."""
        space = await self._spaces.of(tracks[0].model_digest)
        # This transaction lets nobody else write: whoever was forgotten before it is known by none.
        await space.follow()
        strangers = []
        for track in tracks:
            answer = await space.search(track.looks.vector, NEIGHBOURS)
            near = [Candidate(hit.person_id, hit.similarity) for hit in answer.hits]
            near += _alike(track, taking.found)
            strangers.append(Stranger(near, await beside(session, track)))
        return strangers

    async def _belief(self, name: str) -> Belief:
        """What a model's card makes of a similarity."""
        if name not in self._beliefs:
            card = (await asyncio.to_thread(self._store.load, name)).card
            self._beliefs[name] = belief_of(card)
        return self._beliefs[name]

    async def _stored_belief(self, digest: str) -> Belief | None:
        """The same by the model's digest; None where the store does not have it, sound."""
        for name in await asyncio.to_thread(lambda: self._store.names):
            with suppress(Missing, Corrupt):
                if (await asyncio.to_thread(self._store.card, name)).sha256 == digest:
                    return await self._belief(name)
        return None


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


def _give_person(track: WaitingTrack, verdict: Verdict, taking: Taking) -> Sequence[TrackletRow]:
    """All tracklets of a track get its person."""
    person_id = verdict.person_id or str(ULID())
    for row in track.rows:
        row.person_id, row.confidence = person_id, verdict.belief
        row.how = How.ALIKE if verdict.person_id else How.NEW
        row.revision = taking.next_revision()
    return track.rows


def _alike(track: WaitingTrack, rows: Sequence[TrackletRow]) -> list[Candidate]:
    """Candidates among what this transaction has added, which may be of several models."""
    return [
        Candidate(row.person_id, track.looks.likeness(looks_of(row)))
        for row in rows
        if row.person_id is not None and row.model_digest == track.model_digest
    ]


def _sound(tracklets: Sequence[Tracklet]) -> list[Tracklet]:
    """A vector that is none costs its own tracklet, told, and nobody else of the clip."""
    sound = [tracklet for tracklet in tracklets if is_sound(tracklet.vector)]
    if len(sound) < len(tracklets):
        log.warning("tracklets_refused", crops=[t.crop for t in tracklets if t not in sound])
    return sound
