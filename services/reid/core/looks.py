"""What crops of one person look like together. All settings are ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Vector = NDArray[np.float32]

BEST = 4
"""Crops that are pooled: more of them would be poor ones."""


@dataclass(frozen=True, eq=False)
class Looks:
    """vector: (256,), unit length. quality: of the crop or of the best of several, 0 to 1."""

    vector: Vector
    quality: float

    def likeness(self, other: Looks) -> float:
        """Cosine."""
        return float(self.vector @ other.vector)


def pooled(several: Iterable[Looks]) -> Looks:
    """The mean of the best, weighted by their quality. Raises ValueError for none."""
    best = sorted(several, key=lambda looks: -looks.quality)[:BEST]
    if not best:
        raise ValueError("there are no looks to pool")
    # Even crops of no quality at all have a say where there are no others.
    weights = np.array([looks.quality + 1e-3 for looks in best])
    total = weights @ np.stack([looks.vector for looks in best])
    length = float(np.linalg.norm(total))
    # Looks that cancel out are no direction at all; then the best one stands alone.
    vector = best[0].vector if length < 1e-6 else (total / length).astype(np.float32)
    return Looks(vector, best[0].quality)
