"""Test footage -> errors that need no learning: what a model must beat to be worth its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from services.anomaly.scorer import gray_clip
from services.anomaly.training.footage import read_gray

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from services.anomaly.training.footage import Recording

Differences = np.ndarray[tuple[int, ...], np.dtype[np.float32]]

SIDE = 128
BLUR = 7
FLOOR = 0.02
"""Added to every pixel's standard deviation: five gray levels, so that still walls do not shout."""


def mean_difference(recording: Recording) -> NDArray[np.float64]:
    """The mean over the frame of the difference to the frame before."""
    errors: NDArray[np.float64] = _differences(recording).mean(axis=(1, 2), dtype=np.float64)
    return errors


class StandardisedDifference:
    """The difference to the frame before, each pixel in standard deviations of its own motion in
    the training footage; blurred; the frame's maximum."""

    def __init__(self, training: Sequence[Recording]) -> None:
        frames, total, squares = 0, np.zeros((SIDE, SIDE)), np.zeros((SIDE, SIDE))
        for recording in training:
            differences = _differences(recording)
            frames += len(differences)
            total += differences.sum(axis=0, dtype=np.float64)
            squares += np.square(differences).sum(axis=0, dtype=np.float64)
        self._mean = total / frames
        self._deviation = np.sqrt(np.maximum(squares / frames - self._mean**2, 0.0)) + FLOOR

    def __call__(self, recording: Recording) -> NDArray[np.float64]:
        standardised = (_differences(recording) - self._mean) / self._deviation
        return np.array([cv2.blur(frame, (BLUR, BLUR)).max() for frame in standardised])


def _differences(recording: Recording) -> Differences:
    """(F, SIDE, SIDE) absolute differences; the first frame has the second's."""
    gray = gray_clip([read_gray(path) for path in recording.frames], width=SIDE, height=SIDE)
    pixels = gray.astype(np.float32) / 255.0
    later = np.abs(np.diff(pixels, axis=0))
    return np.concatenate([later[:1], later])
