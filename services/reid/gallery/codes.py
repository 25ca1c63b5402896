"""Vectors -> short binary codes whose Hamming distance ranks nearly as cosine does.

Without anything learnt a code's bits are the signs of the centred vector: vectors of street crops
are spread evenly enough that no rotation found better ones (decision 25).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.reid.gallery.gallery import Halves, Vectors

    Codes = NDArray[np.uint8]

BITS = 256
CHUNK = 4096


@dataclass(frozen=True, eq=False)
class Coder:
    """mean: (256,). projection: (256, 256), its columns the bits in their order; None where the
    bits are the coordinates themselves."""

    mean: Vectors
    projection: Vectors | None = None

    @classmethod
    def of_signs(cls, vectors: Vectors) -> Coder:
        """Signs of what differs from the mean of these vectors, (N, 256)."""
        return cls(vectors.mean(axis=0))

    def codes(self, vectors: Vectors | Halves) -> Codes:
        """(N, 256) of any float type -> (N, 32): eight bits a byte, the first one highest."""
        out = np.empty((len(vectors), BITS // 8), np.uint8)
        room = np.empty((min(CHUNK, len(vectors)), BITS), np.float32)
        for start in range(0, len(vectors), CHUNK):
            centred = room[: len(vectors) - start]
            np.subtract(vectors[start : start + CHUNK], self.mean, out=centred)
            bits = centred if self.projection is None else centred @ self.projection
            out[start : start + CHUNK] = np.packbits(bits > 0, axis=1)
        return out
