"""Vectors of tracklets -> the nearest ones: FAISS as a cache of the tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import faiss
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

DIMENSIONS = 256


@dataclass(frozen=True, eq=False)
class Entry:
    """A tracklet of a known person, as the index holds it."""

    id: int
    person_id: str
    camera_id: str
    start_us: int
    end_us: int
    crop: str
    vector: Vectors


@dataclass(frozen=True)
class Filter:
    """What a search is about; None where it does not matter. Times: end exclusive."""

    camera_ids: Collection[str] | None = None
    start_us: int | None = None
    end_us: int | None = None

    def admits(self, entry: Entry) -> bool:
        return (
            (self.camera_ids is None or entry.camera_id in self.camera_ids)
            and (self.start_us is None or entry.end_us >= self.start_us)
            and (self.end_us is None or entry.start_us < self.end_us)
        )

    @property
    def is_open(self) -> bool:
        return self.camera_ids is None and self.start_us is None and self.end_us is None


@dataclass(frozen=True)
class Hit:
    """similarity: cosine."""

    entry: Entry
    similarity: float


class GalleryIndex:
    """One embedding space: exact inner products over unit vectors. Not safe for use by several
    threads at once: its owner takes turns."""

    def __init__(self, model_digest: str) -> None:
        self.model_digest = model_digest
        self._index = faiss.IndexIDMap2(faiss.IndexFlatIP(DIMENSIONS))
        self._entries: dict[int, Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def persons(self) -> int:
        return len({entry.person_id for entry in self._entries.values()})

    @property
    def entries(self) -> Collection[Entry]:
        return self._entries.values()

    def put(self, entries: Sequence[Entry]) -> None:
        """Adds tracklets; one that is there already is replaced."""
        known = [entry.id for entry in entries if entry.id in self._entries]
        if known:
            self._index.remove_ids(faiss.IDSelectorBatch(np.asarray(known, np.int64)))
        newest = {entry.id: entry for entry in entries}
        if newest:
            vectors = np.stack([entry.vector for entry in newest.values()]).astype(np.float32)
            self._index.add_with_ids(vectors, np.fromiter(newest, np.int64))
            self._entries |= newest

    def search(self, vector: Vectors, limit: int, only: Filter | None = None) -> list[Hit]:
        """The nearest tracklets that the filter admits, the most alike first."""
        if not self._entries:
            return []
        parameters = None
        if only is not None and not only.is_open:
            admitted = [id_ for id_, entry in self._entries.items() if only.admits(entry)]
            if not admitted:
                return []
            selector = faiss.IDSelectorBatch(np.asarray(admitted, np.int64))
            parameters = faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]
        similarities, ids = self._index.search(
            vector[None].astype(np.float32), min(limit, len(self._entries)), params=parameters
        )
        return [
            Hit(self._entries[int(id_)], float(similarity))
            for similarity, id_ in zip(similarities[0], ids[0], strict=True)
            if id_ >= 0
        ]
