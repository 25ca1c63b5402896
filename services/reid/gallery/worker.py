"""tracklets -> who is who -> sightings"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import structlog

from services.reid.gallery.announcing import Herald
from services.reid.gallery.registrar import Registrar, Taking
from services.reid.gallery.revisions import newest_revision
from services.reid.gallery.rows import sighting_of
from services.reid.gallery.tables import (
    OutboxRow,
    TrackletCursorRow,
    TrackletOutcomeRow,
    TrackletRow,
)
from services.reid.gallery.waiting import silent_cameras
from shared.bus import Settlement
from shared.clock import SECOND_US, now_us
from shared.folding import GAP_WAIT_S, Arrival, Fold
from shared.messages import Outcome, PersonsSighted, TrackletsEmbedded
from shared.outbox import announce
from shared.patience import OUTAGES
from shared.topics import SIGHTINGS, partition_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncSession

    from services.reid.core.identity import IdentitySettings
    from services.reid.gallery.spaces import Spaces
    from shared.bus import Delivery
    from shared.database import Database
    from shared.leases import Lease
    from shared.model_store import ModelStore
    from shared.outbox import Relay

log = structlog.get_logger(__name__)

SILENCE_S = GAP_WAIT_S + 5.0
"""Of a camera by this server's clock, from which nobody there goes on (ours): what was held up is
waited for as long as at a gap, and a track that is not seen for seconds has ended."""


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
        self._relay = relay
        self._partitions = partitions
        self._registrar = Registrar(spaces, store, settings)
        self._herald = Herald(partitions)
        self._fold = Fold(
            "tracklets", database, cursors=TrackletCursorRow, outcomes=TrackletOutcomeRow
        )
        self._lease: Lease | None = None
        self._left_at = 0

    def take_over(self, lease: Lease) -> None:
        """From now on this process writes, as long as the lease is its own."""
        self._lease = lease
        self._registrar.unlearn()

    async def handle(self, message: TrackletsEmbedded, _: Delivery) -> Settlement:
        """Folds a clip's tracklets in their turn, or at once where their turn has passed: a worker
        that was slow is no reason to lose the people it saw, nor to owe the clip's outcome."""
        async with self._writing() as (session, taking):
            await self._take(session, message, taking)
        await self._after(message.model_digest)
        return Settlement()

    async def bury(self, message: TrackletsEmbedded, delivery: Delivery, fault: str) -> Settlement:
        """Tracklets that cannot be taken are told as dead, so that the account comes out even. They
        are lost: their clip's frames are gone by now. So their crops go too, which no request to
        forget would find."""
        log.error("tracklets_buried", clip=message.clip_id, fault=fault, entry=delivery.entry_id)
        dead = message.model_copy(
            update={"outcome": Outcome.DEAD, "reason": "gallery", "tracklets": ()}
        )
        async with self._writing() as (session, taking):
            # One that is known was taken after all: its crops are the tables'.
            if await self._take(session, dead, taking) is not Arrival.REPEATED:
                session.add_all(taking.dropped(message.tracklets))
        self._relay.wake()
        return Settlement()

    async def skip_gaps(self) -> None:
        """Goes on behind gaps that were waited for long enough."""
        async with self._writing() as (session, taking):
            await self._fold.skip_gaps(
                session, lambda row: self._step(session, row, taking), now_us()
            )
        if taking.found:
            await self._after(taking.found[0].model_digest)

    async def judge_silent(self, now_us: int) -> None:
        """Judges who waits at cameras of which nothing has come for longer than a gap is waited
        for: footage that has an end is followed by no clip that tells it."""
        since_us = now_us - int(SILENCE_S * SECOND_US)
        async with self._database.reading() as session:
            if not await silent_cameras(session, since_us):
                return
        async with self._writing() as (session, taking):
            for camera_id in await silent_cameras(session, since_us):
                rows = await self._registrar.judge_silent(session, camera_id, taking)
                if rows:
                    await self._herald.tell_revised(session, rows, taking.revision)
        self._relay.wake()

    async def watch_gaps(self, *, every_s: float = 1.0) -> None:
        """Until cancelled, or until the lease is lost."""
        while True:
            try:
                await self.skip_gaps()
                await self.judge_silent(now_us())
            except OUTAGES as error:
                log.warning("gaps_wait", error=str(error))
            await asyncio.sleep(every_s)

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[tuple[AsyncSession, Taking]]:
        """A transaction. What was learnt in one that failed is not kept."""
        if self._lease is None:
            raise RuntimeError("the gallery is written to under a lease only")
        whole = False
        try:
            async with self._database.writing() as session:
                await self._lease.check(session)
                taking = Taking(await newest_revision(session))
                if taking.revision != self._left_at:
                    await self._registrar.heed_others(session)
                yield session, taking
            self._left_at = taking.revision
            whole = True
        finally:
            if not whole:
                self._registrar.unlearn()

    async def _after(self, model_digest: str | None) -> None:
        """The next clip must find what this one has added."""
        self._relay.wake()
        if model_digest is not None:
            await (await self._spaces.of(model_digest)).follow()

    async def _take(
        self, session: AsyncSession, message: TrackletsEmbedded, taking: Taking
    ) -> Arrival:
        arrival = await self._fold.take(
            session, message, lambda row: self._step(session, row, taking), now_us()
        )
        if arrival is Arrival.LATE:
            key = (message.camera_id, message.born, message.seq)
            await self._step(session, await session.get_one(TrackletOutcomeRow, key), taking)
        return arrival

    async def _step(self, session: AsyncSession, row: Any, taking: Taking) -> None:
        """One clip's people, and its outcome."""
        message = TrackletsEmbedded.unpack(row.body)
        row.body = None
        sighted: list[TrackletRow] = []
        if message.outcome is Outcome.DONE:
            sighted = await self._registrar.identify(session, message, taking)
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
            sightings=tuple(sighting_of(row) for row in sighted),
        )
        partition = partition_of(message.camera_id, self._partitions)
        announce(session, OutboxRow, SIGHTINGS, outcome, partition)
