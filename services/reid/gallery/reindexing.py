"""Crops embedded by one model -> the same tracklets in another model's space, verified, then one
switch."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
import structlog
from sqlalchemy import and_, func, select, update

from services.reid.gallery.gallery import is_sound
from services.reid.gallery.revisions import newest_revision
from services.reid.gallery.tables import ReindexRow, TrackletRow, TrackletVectorRow
from shared.errors import CityBrainError, Malformed, Missing
from shared.images import decode
from shared.model_store import ActivationMap
from shared.patience import OUTAGES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.reid.embedder import Embedder
    from services.reid.gallery.spaces import Spaces
    from shared.batching import Batcher
    from shared.blobs import BlobStore
    from shared.bus import Bus
    from shared.database import Database
    from shared.images import Pixels
    from shared.inference import Array
    from shared.leases import Lease
    from shared.rack import Loaded, ModelRack

log = structlog.get_logger(__name__)

PAGE = 64
"""Crops that are embedded for one transaction."""

CHECKED = 16
"""Vectors that are made again, and must come out as they are stored."""

SAME = 0.999
"""Cosine of two vectors of one crop by one model: float16 rounds by less."""


class State(StrEnum):
    """filling; verified: the space has all, switch when you like; switched: its model serves;
    failed: it has not all, and the fault says what is missing. New tracklets of other models are
    taken in afterwards too."""

    FILLING = "filling"
    VERIFIED = "verified"
    SWITCHED = "switched"
    FAILED = "failed"


class Reindexing:
    """Fills spaces. The gallery's writer does, under its lease, which every write checks."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        bus: Bus,
        rack: ModelRack[Embedder],
        embed: Batcher[Loaded[Embedder], Sequence[Pixels], Array],
        spaces: Spaces,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._bus = bus
        self._rack = rack
        self._embed = embed
        self._spaces = spaces

    async def begin(self, model: str, *, switches: bool) -> ReindexRow:
        """Asks for a model's space to be filled; a second time, for what is missing to be tried
        again. Raises Missing (`unknown_model`) or Corrupt."""
        digest = (await self._rack.get(model)).context.model_digest
        await ask_for(self._database, model, digest, switches=switches)
        return await self.get(model)

    async def get(self, model: str) -> ReindexRow:
        """Raises Missing where it was never asked for."""
        async with self._database.reading() as session:
            row = await session.get(ReindexRow, model)
        if row is None:
            raise Missing(f"no re-index of {model!r} was asked for", code="unknown_reindex")
        return row

    async def run(self, lease: Lease, *, every_s: float = 2.0) -> None:
        """Until cancelled, or until the lease is lost."""
        while True:
            try:
                async with self._database.reading() as session:
                    open_ = ReindexRow.state != State.FAILED
                    rows = list(await session.scalars(select(ReindexRow).where(open_)))
                for row in rows:
                    await self.advance(row.model, lease)
            except OUTAGES as error:
                log.warning("reindex_waits", error=str(error))
            await asyncio.sleep(every_s)

    async def advance(self, model: str, lease: Lease) -> None:
        """Fills a space until it has all that the tables have, then verifies and switches."""
        while await self._fill_page(model, lease):
            pass
        row = await self.get(model)
        if row.state == State.FILLING:
            fault = await self._fault(row)
            state = State.FAILED if fault else State.VERIFIED
            await self._note(model, lease, state=state, fault=fault)
            log.info("reindex_verified", model=model, state=state, fault=fault)
            row = await self.get(model)
        if row.state == State.VERIFIED and row.switches:
            await ActivationMap(self._bus.redis, "reid").activate(self._bus, model)
            await self._note(model, lease, state=State.SWITCHED)

    async def _fill_page(self, model: str, lease: Lease) -> bool:
        """False when nothing is left to do."""
        row = await self.get(model)
        async with self._database.reading() as session:
            newest = await newest_revision(session)
            if row.revision >= newest:
                return False
            missing = (await session.execute(_missing(row, since=row.revision).limit(PAGE))).all()
        vectors = await self._vectors(model, {found.id: found.crop for found in missing})
        reached = missing[-1].revision if len(missing) == PAGE else newest
        async with self._database.writing() as session:
            await lease.check(session)
            revision = await newest_revision(session)
            for n, (tracklet_id, vector) in enumerate(vectors.items(), start=1):
                given = {"tracklet_id": tracklet_id, "model_digest": row.model_digest}
                insert = self._database.insert(TrackletVectorRow).values(vector=vector, **given)
                row_now = await session.get(TrackletRow, tracklet_id)
                # Who was forgotten meanwhile gets no vector; all others are told to the index.
                if row_now is not None:
                    row_now.revision = revision + n
                    await session.execute(insert.on_conflict_do_nothing())
            counts = {"revision": reached, "embedded": ReindexRow.embedded + len(vectors)}
            await session.execute(
                update(ReindexRow).where(ReindexRow.model == model).values(**counts)
            )
        return True

    async def _vectors(self, model: str, crops: dict[int, str]) -> dict[int, bytes]:
        """Tracklet to vector, without those whose crop is gone or shows nobody."""
        pixels: dict[int, Pixels] = {}
        for tracklet_id, crop in crops.items():
            try:
                body = await self._blobs.get(crop)
                pixels[tracklet_id] = await asyncio.to_thread(decode, body, "rgb")
            except (Missing, Malformed) as error:
                log.warning("crop_lost", crop=crop, error=str(error))
        loaded = await self._rack.get(model)
        found: dict[int, bytes] = {}
        for tracklet_id, crop_pixels in pixels.items():
            try:
                (vector,) = await self._embed(loaded, [crop_pixels])
                found[tracklet_id] = np.asarray(vector, "<f2").tobytes()
            except Malformed as error:
                log.warning("crop_lost", crop=crops[tracklet_id], error=str(error))
        return {tracklet_id: vector for tracklet_id, vector in found.items() if is_sound(vector)}

    async def _fault(self, row: ReindexRow) -> str | None:
        """What keeps a filled space from being switched to. What has come since it was filled is
        not missing yet, and what was forgotten since is not missed."""
        async with self._database.reading() as session:
            filled = _missing(row, since=0).where(TrackletRow.revision <= row.revision)
            everything = filled.order_by(None).subquery()
            lost = await session.scalar(select(func.count()).select_from(everything)) or 0
            query = (
                select(TrackletRow.id, TrackletRow.crop, TrackletVectorRow.vector)
                .join(TrackletVectorRow, TrackletVectorRow.tracklet_id == TrackletRow.id)
                .where(TrackletVectorRow.model_digest == row.model_digest)
                .order_by(func.random())
                .limit(CHECKED)
            )
            stored = {found.id: found for found in await session.execute(query)}
        if lost:
            return f"{lost} tracklets have no crop that shows them any longer"
        again = await self._vectors(row.model, {id_: found.crop for id_, found in stored.items()})
        left = await self._known(select(TrackletRow.id).where(TrackletRow.id.in_(stored)))
        for id_ in left:
            if id_ not in again or _cosine(again[id_], stored[id_].vector) < SAME:
                return f"the vector of {stored[id_].crop} does not come out again"
        try:
            space = await self._spaces.of(row.model_digest)
            await space.follow()
            count = await space.gallery.count()
        except CityBrainError as error:
            return f"the index cannot be made: {error}"[:256]
        # Asked for after the index, so that nobody counts who was forgotten in between.
        filled = TrackletRow.revision <= row.revision
        (wanted,) = await self._known(select(func.count(TrackletRow.id)).where(filled))
        if count < wanted:
            return f"the index has {count} of {wanted} tracklets"
        return None

    async def _known(self, query: Any) -> list[int]:
        """What a query finds among the tracklets of known persons."""
        async with self._database.reading() as session:
            return list(await session.scalars(query.where(TrackletRow.person_id.is_not(None))))

    async def _note(self, model: str, lease: Lease, **values: object) -> None:
        async with self._database.writing() as session:
            await lease.check(session)
            await session.execute(
                update(ReindexRow).where(ReindexRow.model == model).values(**values)
            )


async def ask_for(database: Database, model: str, digest: str, *, switches: bool) -> None:
    """Has the gallery's writer fill a model's space, whichever process this is."""
    fresh = {
        "model_digest": digest,
        "state": State.FILLING,
        "revision": 0,
        "embedded": 0,
        "switches": switches,
        "fault": None,
    }
    insert = database.insert(ReindexRow).values(model=model, **fresh)
    async with database.writing() as session:
        await session.execute(insert.on_conflict_do_update(index_elements=["model"], set_=fresh))


def _missing(row: ReindexRow, *, since: int) -> Any:
    """Tracklets of known persons, changed since, that the space has no vector of, in the order of
    their changes."""
    given = TrackletVectorRow
    return (
        select(TrackletRow.id, TrackletRow.revision, TrackletRow.crop)
        .outerjoin(
            given,
            and_(given.tracklet_id == TrackletRow.id, given.model_digest == row.model_digest),
        )
        .where(
            TrackletRow.revision > since,
            TrackletRow.person_id.is_not(None),
            TrackletRow.model_digest != row.model_digest,
            given.tracklet_id.is_(None),
        )
        .order_by(TrackletRow.revision)
    )


def _cosine(one: bytes, other: bytes) -> float:
    a, b = (np.frombuffer(vector, "<f2").astype(np.float32) for vector in (one, other))
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
