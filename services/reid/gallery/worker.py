"""tracklets -> who is who -> sightings"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import structlog

from services.reid.gallery.registrar import Registrar, Taking
from services.reid.gallery.revisions import newest_revision
from services.reid.gallery.rows import sighting_of
from services.reid.gallery.tables import (
    OutboxRow,
    TrackletCursorRow,
    TrackletOutcomeRow,
    TrackletRow,
)
from shared.bus import Settlement
from shared.clock import now_us
from shared.folding import Arrival, Fold
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
        async with self._writing() as (session, taking):
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
