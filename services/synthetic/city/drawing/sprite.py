"""Convex shapes in pixels of the frame -> an anti-aliased patch, and patches onto a frame."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from shared.images import Pixels

Rgb = tuple[float, float, float]
Ink = tuple[float, float, float, float]
"""A colour as a camera sees it, and full coverage."""
Placed = np.ndarray[tuple[int, ...], np.dtype[np.int32]]
"""(N, 2): points of the frame in fixed-point sub-pixels, see `place`."""

SHIFT = 4
"""Bits of sub-pixel precision that OpenCV's polygon filler is given."""

SOLID = 128
"""Coverage, of 255, from which a pixel counts as part of what is drawn."""


def scaled(colour: Rgb, light: float) -> Rgb:
    """The colour in more light, or in less."""
    red, green, blue = colour
    return red * light, green * light, blue * light


class Extent(NamedTuple):
    """A rectangle of whole pixels."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Sprite:
    """A patch of the frame: premultiplied colours (H, W, 3), None for black, and coverage (H, W),
    upper left at pixel (x, y) of the frame. It may lie partly or wholly outside."""

    x: int
    y: int
    colours: Pixels | None
    coverage: Pixels

    @cached_property
    def solid(self) -> NDArray[np.bool_]:
        """(H, W): which pixels are mostly covered."""
        return self.coverage >= SOLID

    def extent(self, width: int, height: int) -> Extent | None:
        """The exact bounds of the solid pixels inside a frame of that size; None without any."""
        at, of = self.within(width, height)
        if not self.coverage[of].size:
            return None
        x, y, columns, rows = cv2.boundingRect(self.solid[of].astype(np.uint8))
        return Extent(at[1].start + x, at[0].start + y, columns, rows) if columns else None

    def within(self, width: int, height: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Where the patch meets a frame of that size: slices of the frame, slices of the patch."""
        rows, columns = self.coverage.shape
        top, left = max(self.y, 0), max(self.x, 0)
        bottom, right = min(self.y + rows, height), min(self.x + columns, width)
        bottom, right = max(bottom, top), max(right, left)
        return (
            (slice(top, bottom), slice(left, right)),
            (slice(top - self.y, bottom - self.y), slice(left - self.x, right - self.x)),
        )

    def cropped(self, width: int, height: int) -> Sprite:
        """Only what lies within a frame of that size; it may be empty."""
        at, of = self.within(width, height)
        colours = None if self.colours is None else self.colours[of].copy()
        return Sprite(at[1].start, at[0].start, colours, self.coverage[of].copy())

    @cached_property
    def _clearance(self) -> Pixels:
        """(H, W, 3): how much of what lies below shines through."""
        through = cv2.cvtColor(cv2.bitwise_not(self.coverage), cv2.COLOR_GRAY2RGB)
        return np.asarray(through, np.uint8)

    def paint(self, frame: Pixels) -> None:
        """Lays the patch over the frame (H, W, 3), in place."""
        at, of = self.within(frame.shape[1], frame.shape[0])
        target = frame[at]
        if not target.size:
            return
        cv2.multiply(target, self._clearance[of], dst=target, scale=1 / 255)
        if self.colours is not None:
            cv2.add(target, self.colours[of], dst=target)


OVERSAMPLING = 4
"""Canvas pixels for each pixel of the frame and direction."""

_angles = np.arange(10) * (2 * np.pi / 10)
ROUND = np.stack([np.cos(_angles), np.sin(_angles)], axis=1)
"""(10, 2): a ball's outline."""


UNIT = OVERSAMPLING << SHIFT
HALF = ((OVERSAMPLING - 1) << SHIFT) / 2


def place(points_px: NDArray[np.float64]) -> Placed:
    """Pixels of the frame (N, 2) -> fixed-point sub-pixels of a canvas that begins at (0, 0)."""
    placed: Placed = np.rint(points_px * UNIT + HALF).astype(np.int32)
    return placed


def place_balls(centres_px: NDArray[np.float64], radii_px: NDArray[np.float64]) -> Placed:
    """The outlines of balls (N, 2), (N,) as N times len(ROUND) placed points."""
    around = (radii_px * UNIT)[:, None, None] * ROUND
    around += (centres_px * UNIT + HALF)[:, None, :]
    placed: Placed = np.rint(around).astype(np.int32)
    return placed.reshape(-1, 2)


class Canvas:
    """A blank patch at a multiple of the frame's resolution, on which convex shapes are filled."""

    def __init__(self, placed: Placed, top: int | None = None) -> None:
        """placed: all points that will be drawn. top: what lies above that row is not drawn."""
        x, y, width, height = cv2.boundingRect(placed)
        self.x, self.y = x // UNIT, y // UNIT
        if top is not None:
            self.y = max(self.y, top)
        self.width = (x + width) // UNIT + 1 - self.x
        self.height = max((y + height) // UNIT + 1 - self.y, 1)
        self.origin = np.array([self.x * UNIT, self.y * UNIT], np.int32)
        self._pixels: Pixels = np.zeros(
            (self.height * OVERSAMPLING, self.width * OVERSAMPLING, 4), np.uint8
        )

    def fill_hull(self, placed: Placed, ink: Ink) -> None:
        """The convex hull of placed points, less the canvas's origin."""
        cv2.fillConvexPoly(self._pixels, cv2.convexHull(placed), ink, cv2.LINE_8, SHIFT)

    def sprite(self) -> Sprite:
        """What was drawn, at the frame's resolution."""
        # Two halvings: OpenCV has a fast path for exactly two, and the average is the same.
        half = cv2.resize(
            self._pixels, (self.width * 2, self.height * 2), interpolation=cv2.INTER_AREA
        )
        patch = cv2.resize(half, (self.width, self.height), interpolation=cv2.INTER_AREA)
        colours = np.asarray(cv2.cvtColor(patch, cv2.COLOR_RGBA2RGB), np.uint8)
        return Sprite(self.x, self.y, colours, np.asarray(cv2.extractChannel(patch, 3), np.uint8))


def paint_all(frame: Pixels, sprites: Sequence[Sprite]) -> None:
    """Painter's order: the first lies at the bottom."""
    for sprite in sprites:
        sprite.paint(frame)
