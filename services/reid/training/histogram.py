"""Person crops -> colour histograms by horizontal strip: what re-identification can do unlearnt.

Any model has to beat it; that it reproduces known figures shows that a protocol is read correctly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from services.reid.embedder import centre, resize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.images import Pixels
    from shared.inference import Array

STRIPS = 8
BINS = 16
HEIGHT, WIDTH = 144, 40
"""The middle that is looked at: beside it is street."""


class HistogramEmbedder:
    """Shares `Embedder.embed`'s contract."""

    def embed(self, crops: Sequence[Pixels]) -> Array:
        """(N, 768) float32 of unit length: 8 strips, 3 HSV and 3 Lab channels, 16 bins each."""
        return np.stack([_histogram(centre(resize(crop), HEIGHT, WIDTH)) for crop in crops])


def _histogram(crop: Pixels) -> Array:
    planes = np.concatenate(
        [cv2.cvtColor(crop, cv2.COLOR_RGB2HSV_FULL), cv2.cvtColor(crop, cv2.COLOR_RGB2LAB)], axis=2
    )
    counts = [
        np.bincount(strip[..., channel].ravel() // (256 // BINS), minlength=BINS)
        for strip in np.array_split(planes, STRIPS)
        for channel in range(planes.shape[2])
    ]
    # The root makes the dot product Bhattacharyya's coefficient.
    roots = np.sqrt(np.concatenate(counts).astype(np.float32))
    unit: Array = roots / np.linalg.norm(roots)
    return unit
