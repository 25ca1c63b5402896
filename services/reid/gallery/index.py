"""Vectors of tracklets -> the nearest ones: FAISS over float16 vectors and over binary codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from services.reid.gallery.codes import BITS, Coder
from services.reid.gallery.columns import Columns
from services.reid.gallery.flat import code_index, codes_in, only_rows, vector_index, vectors_in
from services.reid.gallery.gallery import DIMENSIONS, OPEN, Hit, Mode

if TYPE_CHECKING:
    from collections.abc import Collection

    from faiss import IndexBinaryFlat, IndexScalarQuantizer

    from services.reid.gallery.codes import Codes
    from services.reid.gallery.columns import Mask, Rows
    from services.reid.gallery.gallery import Batch, Filter, Halves, Vectors

SMALL = 20_000
"""Up to here a scan of the vectors themselves is as quick as codes are (1 ms of a core)."""

SAMPLE = 50_000
"""Vectors of which the mean is taken."""

CANDIDATES_PER_HIT = 4


@dataclass(frozen=True)
class Plan:
    """bits: of a code that are compared. candidates: whose vectors are then compared, or four for
    each hit wanted if these are more."""

    bits: int
    candidates: int


PLANS = {Mode.BALANCED: Plan(bits=256, candidates=1000), Mode.FAST: Plan(bits=128, candidates=400)}
"""Ours, for a recall of 0.95 and of 0.8 at a million vectors (tests/benchmarks/bench_gallery)."""


class GalleryIndex:
    """One embedding space in memory. Any number of threads may search it while none changes it."""

    def __init__(self, coder: Coder | None = None) -> None:
        """coder: learnt elsewhere; None takes the signs of the first vectors that need codes."""
        self.coder = coder
        self.columns = Columns()
        self._vectors = vector_index(0)
        self._codes: dict[int, IndexBinaryFlat] = {}

    @classmethod
    def of(
        cls,
        columns: Columns,
        vectors: IndexScalarQuantizer,
        coder: Coder | None,
        codes: Codes | None,
    ) -> GalleryIndex:
        """An index of what was stored. codes: (N, 32); None where there are none yet."""
        index = cls(coder)
        index.columns, index._vectors = columns, vectors
        if codes is not None:
            index._codes = {bits: code_index(codes[:, : bits // 8]) for bits in _LENGTHS}
        return index

    def __len__(self) -> int:
        return len(self.columns)

    @property
    def vectors(self) -> Halves:
        """(N, 256), a view that holds until the next change."""
        return vectors_in(self._vectors)

    @property
    def codes(self) -> Codes | None:
        """(N, 32), a view that holds until the next change; None while there are none."""
        return codes_in(self._codes[BITS]) if self._codes else None

    @property
    def memory_bytes(self) -> int:
        """Of vectors, codes and columns, names left out."""
        codes = sum(index.ntotal * index.d // 8 for index in self._codes.values())
        return len(self) * (2 * DIMENSIONS + 5 * 8) + codes

    def count(self, only: Filter = OPEN) -> int:
        """Tracklets that the filter admits."""
        admitted = self.columns.admitted(only)
        return len(self) if admitted is None else int(admitted.sum())

    def put(self, batch: Batch) -> None:
        """Adds tracklets; those that are there already are replaced."""
        batch = batch.newest()
        known = self.columns.rows_of(batch.ids)
        if len(known):
            of_id = {int(id_): n for n, id_ in enumerate(batch.ids)}
            here = [of_id.pop(int(id_)) for id_ in self.columns.column("ids")[known]]
            self._replace(known, batch.picked(here))
            batch = batch.picked(list(of_id.values()))
        if len(batch):
            self.columns.add(batch)
            self._vectors.add_sa_codes(np.ascontiguousarray(batch.vectors, "<f2").view(np.uint8))
            self._code(batch.vectors)

    def forget(self, ids: Collection[int]) -> None:
        """Removes tracklets. Everything moves into memory of the size that is left."""
        gone = self.columns.rows_of(np.fromiter(ids, np.int64))
        if not len(gone):
            return
        keep = np.ones(len(self), np.bool_)
        keep[gone] = False
        vectors = vector_index(int(keep.sum()))
        np.compress(keep, self.vectors, axis=0, out=vectors_in(vectors))
        self._codes = {
            bits: code_index(codes_in(index)[keep]) for bits, index in self._codes.items()
        }
        self._vectors, self.columns = vectors, self.columns.kept(keep)

    def search(
        self, query: Vectors, limit: int, only: Filter = OPEN, mode: Mode = Mode.EXACT
    ) -> tuple[list[Hit], Mode]:
        """The nearest that the filter admits, and how they were found. query: (256,), length 1."""
        admitted = self.columns.admitted(only)
        count = len(self) if admitted is None else int(admitted.sum())
        if mode is Mode.EXACT or count <= SMALL or not self._codes:
            return self._hits(*self._nearest(query, limit, admitted, count)), Mode.EXACT
        plan = PLANS[mode]
        code = self._coder.codes(query[None])[:, : plan.bits // 8]
        wanted = max(plan.candidates, CANDIDATES_PER_HIT * limit)
        _, rows = self._codes[plan.bits].search(
            np.ascontiguousarray(code), min(wanted, count), params=only_rows(admitted)
        )
        return self._hits(*self._nearest_among(query, limit, rows[0][rows[0] >= 0])), mode

    def found_without(self, row: int, mode: Mode, limit: int = 10) -> float | None:
        """Leaves a row out and looks for its neighbours: the share of the nearest that the mode
        finds. None where there are no others."""
        query = self.vectors[row].astype(np.float32)
        query /= np.linalg.norm(query)
        own = int(self.columns.column("ids")[row])
        true = [hit for hit in self.search(query, limit + 1)[0] if hit.id != own][:limit]
        if not true:
            return None
        found = {hit.id for hit in self.search(query, limit + 1, mode=mode)[0]}
        return sum(hit.id in found for hit in true) / len(true)

    @property
    def _coder(self) -> Coder:
        if self.coder is None:
            sample = self.vectors[:: max(1, len(self) // SAMPLE)].astype(np.float32)
            self.coder = Coder.of_signs(sample)
        return self.coder

    def _code(self, vectors: Halves) -> None:
        """Codes for vectors that were added; for all once there are enough to need codes."""
        if self._codes:
            codes = self._coder.codes(vectors)
            for bits, index in self._codes.items():
                index.add(np.ascontiguousarray(codes[:, : bits // 8]))
        elif len(self) > SMALL:
            codes = self._coder.codes(self.vectors)
            self._codes = {bits: code_index(codes[:, : bits // 8]) for bits in _LENGTHS}

    def _replace(self, rows: Rows, batch: Batch) -> None:
        self.columns.describe(rows, batch)
        self.vectors[rows] = batch.vectors
        if self._codes:
            codes = self._coder.codes(batch.vectors)
            for bits, index in self._codes.items():
                codes_in(index)[rows] = codes[:, : bits // 8]

    def _nearest(
        self, query: Vectors, limit: int, admitted: Mask | None, count: int
    ) -> tuple[Rows, Vectors]:
        """By the vectors themselves: rows and similarities."""
        if count == 0:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        if admitted is not None and count <= SMALL:
            return self._nearest_among(query, limit, np.flatnonzero(admitted))
        similarities, rows = self._vectors.search(
            query[None], min(limit, count), params=only_rows(admitted)
        )
        return rows[0], similarities[0]

    def _nearest_among(self, query: Vectors, limit: int, rows: Rows) -> tuple[Rows, Vectors]:
        """The same among a few rows: an index of them alone, made for this one search."""
        few = vector_index(len(rows))
        vectors_in(few)[:] = self.vectors[rows]
        similarities, places = few.search(query[None], min(limit, len(rows)))
        return rows[places[0]], similarities[0]

    def _hits(self, rows: Rows, similarities: Vectors) -> list[Hit]:
        columns = self.columns
        picked = (
            columns.column(name)[rows].tolist()
            for name in ("ids", "persons", "cameras", "starts", "ends")
        )
        return [
            Hit(id_, columns.persons.all[person], columns.cameras.all[camera], start, end, alike)
            for id_, person, camera, start, end, alike in zip(
                *picked, similarities.tolist(), strict=True
            )
        ]


_LENGTHS = sorted({plan.bits for plan in PLANS.values()} | {BITS})
