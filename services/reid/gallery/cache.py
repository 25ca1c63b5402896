"""The tables -> an index that follows them: loaded from a snapshot or rebuilt, then kept up."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import numpy as np
import structlog
from prometheus_client import Gauge
from sqlalchemy import func, select

from services.reid.gallery.index import Entry, Filter, GalleryIndex, Hit
from services.reid.gallery.snapshot import read_snapshot, write_snapshot
from services.reid.gallery.tables import TrackletRow
from shared.errors import Corrupt

if TYPE_CHECKING:
    from pathlib import Path

    from services.reid.gallery.index import Vectors
    from shared.database import Database

log = structlog.get_logger(__name__)

TRACKLETS = Gauge("citybrain_gallery_tracklets", "Tracklets in the index")

PAGE = 10_000
SNAPSHOT_EVERY = 50_000
"""Changes after which a new snapshot is written."""


class GalleryCache:
    """The index of one embedding space, at most half a second behind the tables.

    Every process of the service has one; the writer brings its own up to date at each commit.
    """

    def __init__(self, database: Database, folder: Path, model_digest: str) -> None:
        self._database = database
        self._path = folder / f"{model_digest[:16]}.snapshot"
        self._index = GalleryIndex(model_digest)
        self._revision = 0
        self._saved_revision = 0
        self._turn = asyncio.Lock()
        self.loaded_from = "nothing"

    @property
    def model_digest(self) -> str:
        return self._index.model_digest

    @property
    def tracklets(self) -> int:
        return len(self._index)

    @property
    def persons(self) -> int:
        return self._index.persons

    async def load(self) -> None:
        """From the snapshot where it is sound, else from the tables alone."""
        began = time.monotonic()
        try:
            entries, revision = await asyncio.to_thread(
                read_snapshot, self._path, self.model_digest
            )
            await self._check_not_ahead(revision)
        except FileNotFoundError:
            self.loaded_from = "tables"
        except Corrupt as error:
            log.warning("snapshot_refused", error=str(error), cure="rebuilding from the tables")
            self.loaded_from = "tables"
        else:
            async with self._turn:
                await asyncio.to_thread(self._index.put, entries)
                self._revision = self._saved_revision = revision
            self.loaded_from = "snapshot"
        await self.follow()
        log.info(
            "gallery_loaded",
            source=self.loaded_from,
            tracklets=len(self._index),
            seconds=round(time.monotonic() - began, 3),
        )

    async def follow(self) -> None:
        """Takes in what the tables have that the index has not."""
        async with self._turn:
            while await self._take_page() == PAGE:
                pass
        TRACKLETS.set(len(self._index))
        if self._revision - self._saved_revision >= SNAPSHOT_EVERY:
            await self.save()

    async def search(self, vector: Vectors, limit: int, only: Filter | None = None) -> list[Hit]:
        """The nearest tracklets, the most alike first."""
        async with self._turn:
            return await asyncio.to_thread(self._index.search, vector, limit, only)

    async def save(self) -> None:
        """Writes a snapshot. A full disk is logged: the tables have everything anyway."""
        if self._revision == self._saved_revision:
            return
        async with self._turn:
            entries, revision = list(self._index.entries), self._revision
        try:
            await asyncio.to_thread(
                write_snapshot,
                self._path,
                entries,
                revision=revision,
                model_digest=self.model_digest,
            )
            self._saved_revision = revision
        except OSError as error:
            log.warning("snapshot_failed", error=str(error))

    async def _take_page(self) -> int:
        query = (
            select(TrackletRow)
            .where(TrackletRow.revision > self._revision)
            .order_by(TrackletRow.revision)
            .limit(PAGE)
        )
        async with self._database.reading() as session:
            rows = list(await session.scalars(query))
        if rows:
            ours = [
                entry_of(row)
                for row in rows
                if row.model_digest == self.model_digest and row.person_id is not None
            ]
            await asyncio.to_thread(self._index.put, ours)
            self._revision = rows[-1].revision
        return len(rows)

    async def _check_not_ahead(self, revision: int) -> None:
        """Raises Corrupt for a snapshot that is newer than the tables: these were restored."""
        async with self._database.reading() as session:
            newest = await session.scalar(select(func.max(TrackletRow.revision))) or 0
        if revision > newest:
            raise Corrupt("the snapshot is ahead of the tables", code="snapshot_ahead")


def entry_of(row: TrackletRow) -> Entry:
    """A row of a known person, for the index."""
    return Entry(
        id=row.id,
        person_id=row.person_id or "",
        camera_id=row.camera_id,
        start_us=row.start_us,
        end_us=row.end_us,
        crop=row.crop,
        vector=np.frombuffer(row.vector, "<f2").astype(np.float32),
    )
