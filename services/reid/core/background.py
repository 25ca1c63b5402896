"""A camera's frames, one after the other -> masks of what does not belong to its background.

The background is a value: it goes into bytes between clips and comes out in whichever process takes
the next one. Per pixel it holds an approximate median and an approximate spread, both moved by at
most one grey level a frame (sigma-delta estimation; Manzanera and Richefeu, "A new motion
detection algorithm based on sigma-delta background estimation", Pattern Recognition Letters 2007),
at a reduced size. Shadows are told from objects by their colour (Horprasert et al., "A statistical
approach for real-time robust background subtraction and shadow detection", 1999).
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np

from shared.errors import Corrupt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from shared.images import Pixels

    Floats = NDArray[np.float32]
    Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class BackgroundSettings:
    """All ours, tuned on the first 400 frames of PETS 2009 S2L1.

    working_width: frames are reduced by a whole factor to about this many columns.
    threshold: in spreads, beyond which a pixel is foreground. min_spread, max_spread: its bounds,
    in grey levels. spread_factor: how many mean absolute differences make one spread.
    shadow_darkest, brightest: a pixel whose colour is the background's, between these shares of
    its brightness, is a shadow or a reflection of light. shadow_colour: grey levels by which a
    shadow's colour may be off.
    patience: foreground is learnt only on every so many frames, so that who stands still is not
    swallowed at once.
    lost_share: with more foreground than this the scene has changed, and the model begins anew.
    """

    working_width: int = 240
    threshold: float = 3.0
    min_spread: int = 5
    max_spread: int = 40
    spread_factor: int = 2
    shadow_darkest: float = 0.6
    shadow_brightest: float = 1.15
    shadow_colour: float = 8.0
    patience: int = 12
    lost_share: float = 0.6


DEFAULTS = BackgroundSettings()

_MAGIC = b"bg1"
_HEADER = struct.Struct("<3sHHHHIf")


@dataclass(frozen=True, eq=False)
class Background:
    """What a camera sees when nobody is there.

    median: uint8 (3, h, w). spread: uint8 (h, w). height, width: of the frames it was made of.
    frames: how many it has seen. doubt: share of foreground in the newest frame.
    """

    median: Pixels
    spread: Pixels
    height: int
    width: int
    frames: int
    doubt: float = 0.0

    @classmethod
    def of_frames(cls, frames: Sequence[Pixels], settings: BackgroundSettings = DEFAULTS) -> Self:
        """The median of some seconds of a camera: whoever walks is in no place most of the time,
        so that people are found in the very first clip. frames: (H, W, 3) rgb, all of one size.
        """
        height, width = frames[0].shape[:2]
        small = np.stack([reduce(frame, settings.working_width) for frame in frames])
        median = np.median(small, axis=0).astype(np.uint8)
        distance = np.abs(small.astype(np.int16) - median).max(axis=1)
        spread = settings.spread_factor * np.median(distance, axis=0)
        spread = np.clip(spread, settings.min_spread, settings.max_spread).astype(np.uint8)
        return cls(median, spread, height, width, len(frames))

    @property
    def factor(self) -> float:
        """Pixels of a frame per pixel of the mask."""
        return self.width / self.median.shape[2]

    def fits(self, frame: Pixels) -> bool:
        """Whether the frame has the size that this background was made of."""
        return frame.shape[:2] == (self.height, self.width)

    def update(self, frame: Pixels, settings: BackgroundSettings = DEFAULTS) -> tuple[Self, Mask]:
        """(the background after this frame, the frame's foreground (h, w)).

        A frame of another size, or one that is foreground almost everywhere, begins a new
        background; nothing is foreground in it.
        """
        if not self.fits(frame):
            return self._anew(frame, settings)
        small = reduce(frame, settings.working_width)
        foreground = self.foreground(small, settings)
        share = float(foreground.mean())
        if share > settings.lost_share:
            return self._anew(frame, settings)
        learns = ~foreground
        if self.frames % settings.patience == 0:
            learns = np.ones_like(foreground)
        median = _step_towards(self.median, small, learns)
        distance = np.abs(small.astype(np.int16) - median).max(axis=0)
        target = np.clip(
            settings.spread_factor * distance, settings.min_spread, settings.max_spread
        )
        spread = _step_towards(self.spread, target, ~foreground)
        after = replace(self, median=median, spread=spread, frames=self.frames + 1, doubt=share)
        return after, foreground

    def foreground(self, small: Pixels, settings: BackgroundSettings = DEFAULTS) -> Mask:
        """small: a reduced frame (3, h, w) -> which of its pixels do not belong (h, w)."""
        expected = self.median.astype(np.float32)
        seen: Floats = np.divide(small, _gain(small, self.median)[:, None, None], dtype=np.float32)
        differs: Mask = np.abs(seen - expected).max(axis=0) > settings.threshold * self.spread
        # Few pixels differ, and only those can be shadows.
        differs[differs] = ~_shaded(seen[:, differs], expected[:, differs], settings)
        return differs

    def _anew(self, frame: Pixels, settings: BackgroundSettings) -> tuple[Self, Mask]:
        fresh = self.of_frames([frame], settings)
        return fresh, np.zeros(fresh.spread.shape, dtype=np.bool_)

    def to_bytes(self) -> bytes:
        """Compressed, with a checksum."""
        h, w = self.spread.shape
        header = _HEADER.pack(_MAGIC, self.height, self.width, h, w, self.frames, self.doubt)
        body = header + self.median.tobytes() + self.spread.tobytes()
        return zlib.compress(body, level=1)

    @classmethod
    def from_bytes(cls, value: bytes) -> Self:
        """Raises Corrupt (`background_state`) for bytes that `to_bytes` did not write."""
        try:
            body = zlib.decompress(value)
            magic, height, width, h, w, frames, doubt = _HEADER.unpack_from(body)
        except (zlib.error, struct.error) as error:
            raise Corrupt(f"no background: {error}", code="background_state") from error
        if magic != _MAGIC or len(body) != _HEADER.size + 4 * h * w:
            raise Corrupt("the bytes hold no background of this version", code="background_state")
        planes = np.frombuffer(body, np.uint8, offset=_HEADER.size)
        median, spread = planes[: 3 * h * w].reshape(3, h, w), planes[3 * h * w :].reshape(h, w)
        return cls(median, spread, height, width, frames, doubt)


def _shaded(seen: Floats, expected: Floats, settings: BackgroundSettings) -> Mask:
    """(3, n) pixels -> whether each is the background in another light (n,)."""
    brightness = (seen * expected).sum(axis=0) / ((expected**2).sum(axis=0) + 1.0)
    colour = np.abs(seen - brightness * expected).max(axis=0)
    shaded: Mask = (
        (brightness > settings.shadow_darkest)
        & (brightness < settings.shadow_brightest)
        & (colour < settings.shadow_colour)
    )
    return shaded


def reduce(frame: Pixels, working_width: int) -> Pixels:
    """(H, W, 3) -> (3, H // k, W // k), each pixel the mean of k x k, for the whole k that
    brings it nearest to the width asked for."""
    k = max(1, round(frame.shape[1] / working_width))
    if k == 1:
        return np.ascontiguousarray(frame.transpose(2, 0, 1))
    height, width = frame.shape[0] // k * k, frame.shape[1] // k * k
    total: NDArray[np.uint16] = np.zeros((height // k, width // k, 3), dtype=np.uint16)
    for y in range(k):
        for x in range(k):
            total += frame[y:height:k, x:width:k]
    # An integer division by a whole number is slow in numpy; the product's error is below 1 in 500.
    mean = total.transpose(2, 0, 1) * np.float32(1.0 / (k * k))
    return np.ascontiguousarray(mean).astype(np.uint8)


def _gain(small: Pixels, median: Pixels) -> Floats:
    """By how much the whole picture is brighter than its background, per channel (3,): clouds and
    automatic exposure are no foreground. A median over a sparse grid, so objects do not sway it."""
    seen = small[:, ::4, ::4].reshape(3, -1).astype(np.float32) + 1.0
    expected = median[:, ::4, ::4].reshape(3, -1).astype(np.float32) + 1.0
    gain: Floats = np.clip(np.median(seen / expected, axis=1), 0.4, 2.5).astype(np.float32)
    return gain


def _step_towards(value: Pixels, target: NDArray[np.integer], where: Mask) -> Pixels:
    """One grey level towards the target, where allowed."""
    up = ((target > value) & where).view(np.uint8)
    down = ((target < value) & where).view(np.uint8)
    return value + up - down
