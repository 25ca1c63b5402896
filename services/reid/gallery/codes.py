"""Vectors -> short binary codes whose Hamming distance ranks nearly as cosine does.

Without anything learnt a code's bits are the signs of the centred vector: vectors of street crops
are spread evenly enough that no rotation found better ones (decision 25).
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
import structlog

from shared.durable_file import write_durably

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from services.reid.gallery.gallery import Halves, Vectors

    Codes = NDArray[np.uint8]

log = structlog.get_logger(__name__)

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

    def codes(self, vectors: Vectors | Halves, length: int = BITS) -> Codes:
        """(N, 256) of any float type -> (N, length / 8): the first bits of their codes, eight a
        byte, the first one highest. length: a multiple of 8."""
        out = np.empty((len(vectors), length // 8), np.uint8)
        # Without a projection a bit is its own coordinate, and the others are not looked at.
        width = length if self.projection is None else BITS
        room = np.empty((min(CHUNK, len(vectors)), width), np.float32)
        for start in range(0, len(vectors), CHUNK):
            centred = room[: len(vectors) - start]
            piece = vectors[start : start + CHUNK, :width]
            np.subtract(piece, self.mean[:width], out=centred)
            bits = centred if self.projection is None else centred @ self.projection[:, :length]
            out[start : start + CHUNK] = np.packbits(bits > 0, axis=1)
        return out

    def same_as(self, other: Coder | None) -> bool:
        """Whether codes of the two may be compared."""
        if other is None or (self.projection is None) != (other.projection is None):
            return False
        return np.array_equal(self.mean, other.mean) and (
            self.projection is None
            or (other.projection is not None and np.array_equal(self.projection, other.projection))
        )


def codes_file(folder: Path, model_digest: str) -> Path:
    """Where a gallery's folder has what was learnt for a model's vectors."""
    return folder / f"{model_digest[:16]}.codes.npz"


def save_coder(path: Path, coder: Coder) -> None:
    """Raises OSError, and leaves nothing behind then."""
    packed = BytesIO()
    projection = np.eye(BITS, dtype=np.float32) if coder.projection is None else coder.projection
    np.savez(packed, mean=coder.mean, projection=projection)
    write_durably(path, packed.getvalue())


def load_coder(folder: Path, model_digest: str) -> Coder | None:
    """What was learnt for a model's vectors; None where nothing was, or its file is damaged, which
    is told: codes are then the signs of the vectors."""
    path = codes_file(folder, model_digest)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            mean, projection = arrays["mean"], arrays["projection"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        log.warning("codes_refused", file=path.name, error=str(error))
        return None
    sound = mean.shape == (BITS,) and projection.shape == (BITS, BITS)
    if not (sound and np.isfinite(mean).all() and np.isfinite(projection).all()):
        log.warning("codes_refused", file=path.name, error="not a coder of this gallery")
        return None
    return Coder(mean.astype(np.float32), projection.astype(np.float32))
