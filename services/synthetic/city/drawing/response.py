"""True colours -> what one camera makes of them: temperature, exposure, contrast, noise, drift."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.synthetic.city.drawing.sprite import Rgb
    from shared.images import Pixels

LUMA = np.array([0.299, 0.587, 0.114])
"""Rec. 601."""

GRAIN_MARGIN = 64
"""Pixels by which the noise field is larger than a frame: every frame cuts its own part."""


@dataclass(frozen=True)
class Response:
    """A camera's own way with colours. All ranges are ours.

    gains: red, green, blue of its white balance. exposure: factor. contrast: slope about middle
    gray. saturation: 0 gray, 1 true. noise: standard deviation, gray levels. vignette: loss of
    light in the corners, fraction. drift: slow change of light, fraction; drift_s: its period.
    """

    gains: Rgb
    exposure: float
    contrast: float
    saturation: float
    noise: float
    vignette: float
    drift: float
    drift_s: float
    drift_phase: float

    @classmethod
    def of(cls, rng: np.random.Generator) -> Response:
        warmth = float(rng.uniform(-0.08, 0.08))
        return cls(
            gains=(1 + warmth, 1 + float(rng.uniform(-0.025, 0.025)), 1 - warmth),
            exposure=float(rng.uniform(1.0, 1.24)),
            contrast=float(rng.uniform(0.92, 1.16)),
            saturation=float(rng.uniform(0.72, 1.08)),
            noise=float(rng.uniform(1.6, 3.4)),
            vignette=float(rng.uniform(0.08, 0.22)),
            drift=float(rng.uniform(0.03, 0.06)),
            drift_s=float(rng.uniform(110, 240)),
            drift_phase=float(rng.uniform(0, 2 * math.pi)),
        )

    def develop(self, colours: NDArray[np.floating]) -> NDArray[np.floating]:
        """True colours (..., 3), 0 to 255, -> the camera's, not yet clipped."""
        gray = (colours @ LUMA.astype(colours.dtype))[..., None]
        vivid = gray + (colours - gray) * self.saturation
        lit = vivid * (np.array(self.gains, colours.dtype) * self.exposure)
        developed: NDArray[np.floating] = (lit - 118.0) * self.contrast + 118.0
        return developed

    def falloff(self, width: int, height: int) -> NDArray[np.float32]:
        """(H, W): light that reaches each pixel, 1 in the middle."""
        x = (np.arange(width) + 0.5) / width * 2 - 1
        y = (np.arange(height) + 0.5) / height * 2 - 1
        radius = (x[None, :] ** 2 + y[:, None] ** 2) / 2
        fall: NDArray[np.float32] = (1 - self.vignette * radius).astype(np.float32)
        return fall

    def light_at(self, time_s: float) -> float:
        """The gain that passing clouds leave, drifting over minutes."""
        turn = 2 * math.pi * time_s / self.drift_s + self.drift_phase
        return 1 + self.drift * (0.75 * math.sin(turn) + 0.25 * math.sin(2.7 * turn + 1.0))


class Grain:
    """Sensor noise, drawn once; each frame takes a window of it at a place of its own."""

    def __init__(self, rng: np.random.Generator, sigma: float, width: int, height: int) -> None:
        shape = (height + GRAIN_MARGIN, width + GRAIN_MARGIN)
        luma = rng.normal(0, sigma, shape)
        chroma = cv2.GaussianBlur(rng.normal(0, 1.6 * sigma, (*shape, 3)), (3, 3), 0.8)
        field = luma[..., None] + 0.6 * chroma
        self._brighter: Pixels = np.clip(np.rint(field), 0, 255).astype(np.uint8)
        self._darker: Pixels = np.clip(np.rint(-field), 0, 255).astype(np.uint8)
        self._seed = int(rng.integers(2**31))

    def strew(self, frame: Pixels, index: int) -> None:
        """Adds the noise of that frame, in place."""
        # Knuth's multiplicative hash: neighbouring frames cut far apart, and no generator is built.
        place = (index + self._seed) * 2_654_435_761 % 2**32 >> 20
        top, left = divmod(place, GRAIN_MARGIN)
        window = (
            slice(top, top + frame.shape[0]),
            slice(left, left + frame.shape[1]),
        )
        cv2.add(frame, self._brighter[window], dst=frame)
        cv2.subtract(frame, self._darker[window], dst=frame)
