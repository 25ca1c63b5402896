"""Test footage -> errors that need no learning: what a model must beat to be worth its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from services.anomaly.core.clip import gray_clip
from services.anomaly.training.footage import read_frame
from services.anomaly.training.regimes import Trace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from services.anomaly.training.footage import Recording

Differences = np.ndarray[tuple[int, ...], np.dtype[np.float32]]

SIDE = 128
PATCH = 8
BLUR = 7
FLOOR = 0.02
"""Added to every pixel's standard deviation: five gray levels, so that still walls do not shout."""


def mean_difference(recording: Recording) -> Trace:
    """The mean over the frame of the difference to the frame before; over a patch, in the map."""
    differences = _differences(recording)
    errors = differences.mean(axis=(1, 2), dtype=np.float64)
    return Trace(errors, _patches(differences).mean(axis=(2, 4), dtype=np.float64))


class StandardisedDifference:
    """The difference to the frame before, each pixel in standard deviations of its own motion in
    the training footage; blurred; the frame's maximum, and each patch's in the map."""

    def __init__(self, training: Sequence[Recording]) -> None:
        frames, total, squares = 0, np.zeros((SIDE, SIDE)), np.zeros((SIDE, SIDE))
        for recording in training:
            differences = _differences(recording)
            frames += len(differences)
            total += differences.sum(axis=0, dtype=np.float64)
            squares += np.square(differences).sum(axis=0, dtype=np.float64)
        self._mean = total / frames
        self._deviation = np.sqrt(np.maximum(squares / frames - self._mean**2, 0.0)) + FLOOR

    def __call__(self, recording: Recording) -> Trace:
        standardised = (_differences(recording) - self._mean) / self._deviation
        blurred = np.stack([cv2.blur(frame, (BLUR, BLUR)) for frame in standardised])
        return Trace(blurred.max(axis=(1, 2)), _patches(blurred).max(axis=(2, 4)))


def _patches(frames: NDArray[np.floating]) -> NDArray[np.floating]:
    """(F, SIDE, SIDE) -> (F, R, PATCH, K, PATCH)"""
    return frames.reshape(len(frames), SIDE // PATCH, PATCH, SIDE // PATCH, PATCH)


def _differences(recording: Recording) -> Differences:
    """(F, SIDE, SIDE) absolute differences; the first frame has the second's."""
    gray = gray_clip([read_frame(path) for path in recording.frames], width=SIDE, height=SIDE)
    pixels = gray.astype(np.float32) / 255.0
    later = np.abs(np.diff(pixels, axis=0))
    return np.concatenate([later[:1], later])
