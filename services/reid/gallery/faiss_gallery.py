"""A gallery in this process's memory: FAISS, with a snapshot on disk beside the tables."""

from __future__ import annotations

import asyncio
import random
from functools import partial
from typing import TYPE_CHECKING

import structlog

from services.reid.gallery.gallery import OPEN, Answer, Mode, check_stored, checked_query
from services.reid.gallery.index import GalleryIndex
from services.reid.gallery.snapshot import Picture, read_snapshot, write_snapshot
from services.reid.gallery.turns import Turns
from shared.errors import Corrupt

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from services.reid.gallery.codes import Coder
    from services.reid.gallery.gallery import Batch, Filter, Vectors

log = structlog.get_logger(__name__)

SNAPSHOT_EVERY = 50_000
"""Changes after which a new snapshot is written, and after which a failed one is tried again."""


class FaissGallery:
    """Gallery. Searches run side by side in threads; what changes it waits for them."""

    def __init__(self, folder: Path, model_digest: str, coder: Coder | None = None) -> None:
        """coder: codes learnt for this model's vectors."""
        self.model_digest = model_digest
        self._path = folder / f"{model_digest[:16]}.snapshot"
        self._learnt = coder
        self._index = GalleryIndex(coder)
        self._turns = Turns()
        self._saving = asyncio.Lock()
        self._revision = self._saved = 0
        self._save_from = SNAPSHOT_EVERY
        self._forgot = False
        self._random = random.Random(0)  # noqa: S311 - which rows are a sample is no secret
        self._recall: dict[Mode, float] = {Mode.EXACT: 1.0}
        self._source = "tables"

    @property
    def revision(self) -> int:
        return self._revision

    @property
    def source(self) -> str:
        return self._source

    @property
    def memory_bytes(self) -> int:
        return self._index.memory_bytes

    async def open(self, newest: int) -> None:
        """From the snapshot where it is sound and not ahead of the tables; else empty."""
        try:
            await self._turns.write(lambda: self._open(newest))
        except FileNotFoundError:
            return
        except Corrupt as error:
            log.warning("snapshot_refused", error=str(error), cure="rebuilding from the tables")

    async def put(self, batch: Batch, revision: int) -> None:
        if len(batch):
            await asyncio.to_thread(check_stored, batch.vectors)
            await self._turns.write(lambda: self._index.put(batch))
        self._revision = revision

    async def forget(self, ids: Collection[int], revision: int) -> None:
        if ids:
            await self._turns.write(lambda: self._index.forget(ids))
            # A snapshot must not remember what was forgotten.
            self._forgot, self._save_from = True, 0
        self._revision = revision

    async def search(
        self, vector: Vectors, limit: int, only: Filter = OPEN, mode: Mode = Mode.EXACT
    ) -> Answer:
        query = checked_query(vector)
        hits, used = await self._turns.read(lambda: self._index.search(query, limit, only, mode))
        return Answer(hits, used, self._recall.get(used))

    async def count(self, only: Filter = OPEN) -> int:
        return await self._turns.read(lambda: self._index.count(only))

    async def persons(self) -> int:
        return await self._turns.read(lambda: self._index.columns.people)

    async def save(self) -> None:
        async with self._saving:
            if self._revision == self._saved:
                return
            picture, revision = await self._turns.read(self._picture)
            self._save_from = revision + SNAPSHOT_EVERY
            try:
                await asyncio.to_thread(
                    write_snapshot,
                    self._path,
                    picture,
                    revision=revision,
                    model_digest=self.model_digest,
                )
                self._saved, self._forgot = revision, False
            except OSError as error:
                log.warning("snapshot_failed", error=str(error), cure="the tables have everything")
                if self._forgot:
                    self._path.unlink(missing_ok=True)

    async def tend(self) -> None:
        if self._revision >= self._save_from:
            await self.save()

    async def measure(self, sample: int) -> dict[Mode, float]:
        for mode in (Mode.BALANCED, Mode.FAST):
            look = partial(self._leave_one_out, mode)
            shares = [await self._turns.read(look) for _ in range(sample)]
            known = [share for share in shares if share is not None]
            if known:
                self._recall[mode] = sum(known) / len(known)
        return dict(self._recall)

    async def close(self) -> None:
        await self.save()

    def _open(self, newest: int) -> None:
        index, revision = read_snapshot(self._path, self.model_digest)
        if revision > newest:
            raise Corrupt("the snapshot is ahead of the tables", code="snapshot_ahead")
        if self._learnt is not None and not self._learnt.same_as(index.coder):
            raise Corrupt("other codes were learnt since", code="snapshot_codes")
        self._index, self._revision, self._saved = index, revision, revision
        self._save_from, self._source = revision + SNAPSHOT_EVERY, "snapshot"

    def _picture(self) -> tuple[Picture, int]:
        return Picture.of(self._index), self._revision

    def _leave_one_out(self, mode: Mode) -> float | None:
        if not len(self._index):
            return None
        return self._index.found_without(self._random.randrange(len(self._index)), mode)
