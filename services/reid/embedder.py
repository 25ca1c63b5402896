"""Person crops -> unit vectors, whose dot product says how alike two people look."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from services.reid.core.quality import MAX_ASPECT, MIN_SIDE
from shared.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.images import Pixels
    from shared.inference import Array, Session
    from shared.model_store import StoredModel

RESIZED_HEIGHT, RESIZED_WIDTH = 160, 64
"""To which a crop is resized before the network's input is cut from it (MSP-CNN, ACM MM 2017)."""


class Embedder:
    """One model at work. Safe to share between threads, as its session is."""

    def __init__(self, model: StoredModel, session: Session, *, max_batch: int = 8) -> None:
        """max_batch: crops per forward pass, which bounds memory."""
        spec = model.card.input
        self.model = model
        self.provider = session.provider
        self.precision = session.precision
        self._session = session
        self._max_batch = max_batch
        self._height, self._width = spec.shape[-2:]
        # (pixel / 255 - mean) / std, as one multiplication and one addition.
        self._gain = (1.0 / (255.0 * np.asarray(spec.std))).astype(np.float32)
        self._shift = (-np.asarray(spec.mean) / np.asarray(spec.std)).astype(np.float32)

    def embed(self, crops: Sequence[Pixels]) -> Array:
        """crops: (H, W, 3) rgb of any size -> (N, 256) float32 of unit length, in their order.

        Raises Malformed (`crop_shape`, `crop_too_small`, `crop_aspect`) for a crop that cannot
        show a person.
        """
        for n, crop in enumerate(crops):
            check_crop(crop, f"crop {n}")
        vectors = [
            self._forward(crops[start : start + self._max_batch])
            for start in range(0, len(crops), self._max_batch)
        ]
        return np.concatenate(vectors) if vectors else np.zeros((0, 256), np.float32)

    def _forward(self, crops: Sequence[Pixels]) -> Array:
        batch = np.stack([self._prepare(crop) for crop in crops])
        return self._session(batch)[0]

    def _prepare(self, crop: Pixels) -> Array:
        """(3, 144, 56): the centre of the resized crop, normalised."""
        cut = centre(resize(crop), self._height, self._width)
        return np.ascontiguousarray((cut * self._gain + self._shift).transpose(2, 0, 1))


def check_crop(crop: Pixels, name: str) -> None:
    """Raises what Embedder.embed raises."""
    if crop.ndim != 3 or crop.shape[2] != 3 or crop.dtype != np.uint8:
        raise Malformed(
            f"{name} must be (height, width, 3) uint8, but is {crop.shape} {crop.dtype}",
            code="crop_shape",
        )
    height, width = crop.shape[:2]
    if min(height, width) < MIN_SIDE:
        raise Malformed(
            f"{name} is {width}x{height}; each side must have {MIN_SIDE} pixels",
            code="crop_too_small",
        )
    if max(height, width) > MAX_ASPECT * min(height, width):
        raise Malformed(
            f"{name} is {width}x{height}: no person has such a shape", code="crop_aspect"
        )


def resize(crop: Pixels) -> Pixels:
    """(H, W, 3) -> (160, 64, 3)."""
    shrinks = crop.shape[0] > RESIZED_HEIGHT
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(crop, (RESIZED_WIDTH, RESIZED_HEIGHT), interpolation=method))


def centre(pixels: Pixels, height: int, width: int) -> Pixels:
    """The middle of an image."""
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width]
