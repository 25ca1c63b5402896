"""What a gallery is: tracklets of known persons in one embedding space, found again by their looks.

Two implementations pass one suite of tests: FaissGallery, in this process's memory, and
QdrantGallery, where one machine is outgrown. The tables are the truth for both.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import numpy as np

from shared.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]
    Halves = NDArray[np.float16]
    Numbers = NDArray[np.int64]

DIMENSIONS = 256
CHUNK = 4096
LENGTH_TOLERANCE = 0.01
"""By which a stored vector may be longer or shorter than 1: float16 rounds by less."""


class Mode(StrEnum):
    """How a search goes about it: by all vectors, or by short codes first and then by the vectors
    of a long or a short list of candidates."""

    EXACT = "exact"
    BALANCED = "balanced"
    FAST = "fast"


@dataclass(frozen=True, eq=False)
class Batch:
    """N tracklets by columns. starts, ends: microseconds since 1970. vectors: (N, 256) float16 of
    unit length."""

    ids: Numbers
    persons: Sequence[str]
    cameras: Sequence[str]
    starts: Numbers
    ends: Numbers
    vectors: Halves

    def __len__(self) -> int:
        return len(self.ids)

    def picked(self, rows: Sequence[int]) -> Batch:
        return Batch(
            self.ids[rows],
            [self.persons[row] for row in rows],
            [self.cameras[row] for row in rows],
            self.starts[rows],
            self.ends[rows],
            self.vectors[rows],
        )

    def newest(self) -> Batch:
        """The last of each id."""
        last = {int(id_): row for row, id_ in enumerate(self.ids)}
        return self if len(last) == len(self) else self.picked(sorted(last.values()))


@dataclass(frozen=True)
class Filter:
    """What a search is about; None where it does not matter. Microseconds, end exclusive: a
    tracklet counts that was in sight at any time between."""

    camera_ids: Collection[str] | None = None
    start_us: int | None = None
    end_us: int | None = None

    @property
    def is_open(self) -> bool:
        return self.camera_ids is None and self.start_us is None and self.end_us is None


OPEN = Filter()


@dataclass(frozen=True)
class Hit:
    """A tracklet that was found. similarity: cosine."""

    id: int
    person_id: str
    camera_id: str
    start_us: int
    end_us: int
    similarity: float


@dataclass(frozen=True)
class Answer:
    """The nearest tracklets, the most alike first.

    mode: how was searched, which is `exact` wherever that is as quick. recall: the share of the ten
    nearest that this mode finds, measured on this gallery's own vectors; None before it was.
    """

    hits: list[Hit]
    mode: Mode
    recall: float | None


class Gallery(Protocol):
    """One embedding space. Vectors of two models lie in two galleries and are never compared.

    All methods but `count` raise Unavailable where the gallery lies elsewhere and is away.
    """

    model_digest: str

    @property
    def revision(self) -> int:
        """Up to which change of the tables this gallery surely holds everything."""
        ...

    @property
    def source(self) -> str:
        """Where its contents came from when it was opened: `tables`, `snapshot` or `server`."""
        ...

    async def open(self, newest: int) -> None:
        """Takes up what is there from before. newest: the last change of the tables; what is ahead
        of it belongs to tables that were since restored, and is thrown away."""
        ...

    async def put(self, batch: Batch, revision: int) -> None:
        """Adds tracklets; those that are there already are replaced.

        Raises Malformed (`vector_shape`, `vector_not_finite`, `vector_length`), and takes nothing.
        """
        ...

    async def forget(self, ids: Collection[int], revision: int) -> None:
        """Removes tracklets, and what memory they took. Unknown ones are no error."""
        ...

    async def search(
        self, vector: Vectors, limit: int, only: Filter = OPEN, mode: Mode = Mode.EXACT
    ) -> Answer:
        """The `limit` nearest of all that the filter admits; fewer only where it admits fewer.

        vector: (256,), of any length but 0. Raises Malformed (`vector_shape`, `vector_not_finite`,
        `vector_zero`).
        """
        ...

    async def count(self, only: Filter = OPEN) -> int:
        """Tracklets that the filter admits."""
        ...

    async def persons(self) -> int:
        """How many people there are."""
        ...

    async def save(self) -> None:
        """Makes the next `open` quick. A full disk is no error: the tables have everything."""
        ...

    async def tend(self) -> None:
        """What is worth doing now and then: `save`, where much has changed or been forgotten."""
        ...

    async def measure(self, sample: int) -> dict[Mode, float]:
        """The recall of each mode, by leaving `sample` tracklets out; answers state it from now."""
        ...

    async def close(self) -> None: ...


def checked_query(vector: Vectors) -> Vectors:
    """(256,) float32 of unit length. Raises Malformed."""
    if vector.shape != (DIMENSIONS,):
        raise Malformed(
            f"a vector has {DIMENSIONS} numbers, but this is {vector.shape}", code="vector_shape"
        )
    single = vector.astype(np.float32)
    length = float(np.linalg.norm(single))
    if not np.isfinite(length):
        raise Malformed("the vector is not finite", code="vector_not_finite")
    if length < 1e-6:
        raise Malformed("a zero vector is like nothing", code="vector_zero")
    return np.asarray(single / np.float32(length))


def check_stored(vectors: Halves) -> None:
    """Raises Malformed for anything but (N, 256) finite numbers of unit length."""
    if vectors.ndim != 2 or vectors.shape[1] != DIMENSIONS:
        raise Malformed(
            f"vectors are (N, {DIMENSIONS}), but these are {vectors.shape}", code="vector_shape"
        )
    lengths = np.concatenate([np.empty(0, np.float32), *_lengths(vectors)])
    if not np.isfinite(lengths).all():
        raise Malformed("a vector is not finite", code="vector_not_finite")
    if (np.abs(lengths - 1.0) > LENGTH_TOLERANCE).any():
        raise Malformed("a vector is not of unit length", code="vector_length")


def is_sound(vector: bytes) -> bool:
    """Whether these bytes are a vector that a gallery takes."""
    if len(vector) != 2 * DIMENSIONS:
        return False
    try:
        check_stored(np.frombuffer(vector, "<f2")[None])
    except Malformed:
        return False
    return True


def _lengths(vectors: Halves) -> Iterator[Vectors]:
    """Piece by piece: a million vectors as float32 would take a gigabyte, and seconds."""
    single = np.empty((min(CHUNK, len(vectors)), DIMENSIONS), np.float32)
    for start in range(0, len(vectors), CHUNK):
        piece = single[: len(vectors) - start]
        np.copyto(piece, vectors[start : start + CHUNK])
        yield np.sqrt(np.einsum("nd,nd->n", piece, piece))
