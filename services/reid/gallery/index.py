"""Vectors of tracklets -> the nearest ones: FAISS over float16 vectors and over binary codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from services.reid.gallery.codes import Coder
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

CODE_BYTES = 16
"""Of a code's 32 that are made and compared: more bits would find more, but reading them takes
longer than looking at more candidates (decision 25)."""

CANDIDATES = {Mode.BALANCED: 1500, Mode.FAST: 400}
"""Nearest by their codes whose vectors are then compared: ours, for a recall of 0.95 and of 0.8 at
a million vectors (tests/benchmarks/bench_gallery)."""

CANDIDATES_PER_HIT = 4
"""At least."""


class GalleryIndex:
    """One embedding space in memory. Any number of threads may search it while none changes it."""

    def __init__(self, coder: Coder | None = None) -> None:
        """coder: learnt elsewhere; None takes the signs of the first vectors that need codes."""
        self.coder = coder
        self.columns = Columns()
        self._vectors = vector_index(0)
        self._codes: IndexBinaryFlat | None = None

    @classmethod
    def of(
        cls,
        columns: Columns,
        vectors: IndexScalarQuantizer,
        coder: Coder | None,
        codes: Codes | None,
    ) -> GalleryIndex:
        """An index of what was stored. codes: (N, 16 or more); None where there are none yet."""
        index = cls(coder)
        index.columns, index._vectors = columns, vectors
        if codes is not None:
            index._codes = code_index(codes[:, :CODE_BYTES])
        return index

    def __len__(self) -> int:
        return len(self.columns)

    @property
    def vectors(self) -> Halves:
        """(N, 256), a view that holds until the next change."""
        return vectors_in(self._vectors)

    @property
    def codes(self) -> Codes | None:
        """(N, 16), a view that holds until the next change; None while there are none."""
        return None if self._codes is None else codes_in(self._codes)

    @property
    def memory_bytes(self) -> int:
        """Of vectors, codes and columns, names left out."""
        codes = 0 if self._codes is None else CODE_BYTES
        return len(self) * (2 * DIMENSIONS + 5 * 8 + codes)

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
        if self._codes is not None:
            self._codes = code_index(codes_in(self._codes)[keep])
        self._vectors, self.columns = vectors, self.columns.kept(keep)

    def search(
        self, query: Vectors, limit: int, only: Filter = OPEN, mode: Mode = Mode.EXACT
    ) -> tuple[list[Hit], Mode]:
        """The nearest that the filter admits, and how they were found. query: (256,), length 1."""
        admitted = self.columns.admitted(only)
        count = len(self) if admitted is None else int(admitted.sum())
        if mode is Mode.EXACT or count <= SMALL or self._codes is None:
            return self._hits(*self._nearest(query, limit, admitted, count)), Mode.EXACT
        wanted = max(CANDIDATES[mode], CANDIDATES_PER_HIT * limit)
        _, rows = self._codes.search(
            self._code_of(query[None]), min(wanted, count), params=only_rows(admitted)
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
        if self._codes is not None:
            self._codes.add(self._code_of(vectors))
        elif len(self) > SMALL:
            self._codes = code_index(self._code_of(self.vectors))

    def _code_of(self, vectors: Vectors | Halves) -> Codes:
        """(N, 256) -> (N, 16)."""
        return self._coder.codes(vectors, 8 * CODE_BYTES)

    def _replace(self, rows: Rows, batch: Batch) -> None:
        self.columns.describe(rows, batch)
        self.vectors[rows] = batch.vectors
        if self._codes is not None:
            codes_in(self._codes)[rows] = self._code_of(batch.vectors)

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
