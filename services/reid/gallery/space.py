"""The tables -> a gallery that follows them."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import structlog
from prometheus_client import Gauge
from sqlalchemy import and_, case, or_, select

from services.reid.gallery.gallery import DIMENSIONS, OPEN, Batch, Mode, is_sound
from services.reid.gallery.revisions import newest_revision
from services.reid.gallery.tables import ForgottenRow, TrackletRow, TrackletVectorRow
from shared.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from services.reid.gallery.gallery import Answer, Filter, Gallery, Vectors
    from shared.database import Database

log = structlog.get_logger(__name__)

TRACKLETS = Gauge("citybrain_gallery_tracklets", "Tracklets in the index", ["model"])
RECALL = Gauge(
    "citybrain_gallery_recall", "Share of the ten nearest that a mode finds", ["model", "mode"]
)

PAGE = 20_000
SAMPLE = 100
"""Tracklets that are left out to measure recall: a standard error of 0.01 at 0.95."""

GROWTH = 1.25
"""Recall is measured again when the gallery has grown by this."""


class Page(NamedTuple):
    """Changes of the tables in their order. until: the revision of which none is missing."""

    rows: Sequence[Any]
    until: int


class Space:
    """One embedding space, at most half a second behind the tables."""

    def __init__(self, database: Database, gallery: Gallery) -> None:
        self._database = database
        self.gallery = gallery
        self._turn = asyncio.Lock()
        self._measured_at: int | None = None
        self._label = gallery.model_digest[:12]
        self.recall: dict[Mode, float] = {}

    @property
    def model_digest(self) -> str:
        return self.gallery.model_digest

    async def load(self, *, follows: bool = True) -> None:
        """From what the gallery still has, and then from the tables, unless others bring it up."""
        began = time.monotonic()
        async with self._database.reading() as session:
            newest = await newest_revision(session)
        await self.gallery.open(newest)
        if follows:
            await self.follow()
        log.info(
            "gallery_loaded",
            source=self.gallery.source,
            tracklets=await self.gallery.count(),
            seconds=round(time.monotonic() - began, 3),
        )

    async def follow(self) -> None:
        """Takes in what the tables have, and forgets what they have no longer."""
        async with self._turn:
            async with self._database.reading() as session:
                newest = await newest_revision(session)
                if newest == self.gallery.revision:
                    return
                await self._forget(session, newest)
                page = await self._read(session, self.gallery.revision, newest)
                while page.until < newest:
                    # The next one is read while this one is taken in: a start has two cores.
                    following = self._read(session, page.until, newest)
                    page, _ = await asyncio.gather(following, self._take(page))
                await self._take(page)
            TRACKLETS.labels(self._label).set(await self.gallery.count())

    async def search(
        self, vector: Vectors, limit: int, only: Filter = OPEN, mode: Mode = Mode.EXACT
    ) -> Answer:
        """The nearest tracklets. Raises Malformed for a vector that is none."""
        return await self.gallery.search(vector, limit, only, mode)

    async def crops(self, ids: Sequence[int]) -> dict[int, str]:
        """Where the pictures of tracklets lie. Those that the tables no longer have are left out:
        a gallery that is shared may remember them a moment longer."""
        async with self._database.reading() as session:
            query = select(TrackletRow.id, TrackletRow.crop).where(TrackletRow.id.in_(ids))
            return {row.id: row.crop for row in await session.execute(query)}

    async def measure(self) -> None:
        """Recall of the modes, where the gallery has changed much since it was last measured."""
        count = await self.gallery.count()
        before = self._measured_at
        if before is not None and (count == before or before / GROWTH < count < before * GROWTH):
            return
        self.recall = await self.gallery.measure(SAMPLE)
        self._measured_at = count
        for mode, share in self.recall.items():
            RECALL.labels(self._label, mode).set(share)

    async def close(self) -> None:
        await self.gallery.close()
        with suppress(KeyError):
            TRACKLETS.remove(self._label)
        for mode in self.recall:
            RECALL.remove(self._label, mode)

    async def _forget(self, session: AsyncSession, newest: int) -> None:
        revision = self.gallery.revision
        query = select(ForgottenRow.tracklet_id).where(
            ForgottenRow.revision > revision, ForgottenRow.revision <= newest
        )
        gone = list(await session.scalars(query))
        # One that others have filled stands at no revision where its newest was forgotten.
        if gone and (revision > 0 or await self.gallery.count()):
            await self.gallery.forget(gone, revision)

    async def _read(self, session: AsyncSession, after: int, newest: int) -> Page:
        query = _changes(self.model_digest, after, newest)
        # By the connection: a session's own way of handing out rows takes as long as all the rest.
        rows = (await (await session.connection()).execute(query)).all()
        return Page(rows, rows[-1].revision if len(rows) == PAGE else newest)

    async def _take(self, page: Page) -> None:
        """Taken twice is taken once."""
        try:
            await self.gallery.put(await asyncio.to_thread(_batch, page.rows), page.until)
        except (Malformed, ValueError):
            await self.gallery.put(_batch(_sound(page.rows)), page.until)


def _changes(model_digest: str, after: int, until: int) -> Any:
    """Tracklets of known persons that have a vector in this space, the one they came with or one
    that they were given since."""
    row, given = TrackletRow, TrackletVectorRow
    own = row.model_digest == model_digest
    return (
        select(
            row.id,
            row.revision,
            row.person_id,
            row.camera_id,
            row.start_us,
            row.end_us,
            case((own, row.vector), else_=given.vector).label("vector"),
        )
        .outerjoin(given, and_(given.tracklet_id == row.id, given.model_digest == model_digest))
        .where(
            row.revision > after,
            row.revision <= until,
            row.person_id.is_not(None),
            or_(own, given.tracklet_id.is_not(None)),
        )
        .order_by(row.revision)
        .limit(PAGE)
    )


def _batch(rows: Sequence[Any]) -> Batch:
    """Rows by columns."""
    ids, _, persons, cameras, starts, ends, vectors = zip(*rows, strict=True) if rows else ((),) * 7
    return Batch(
        np.array(ids, np.int64),
        persons,
        cameras,
        np.array(starts, np.int64),
        np.array(ends, np.int64),
        np.frombuffer(b"".join(vectors), "<f2").reshape(-1, DIMENSIONS),
    )


def _sound(rows: Sequence[Any]) -> list[Any]:
    """Rows without those whose vector was damaged in the tables, which are told."""
    sound = [row for row in rows if is_sound(row.vector)]
    if len(sound) < len(rows):
        whole = {row.id for row in sound}
        log.error("vectors_damaged", tracklets=[row.id for row in rows if row.id not in whole][:20])
    return sound
