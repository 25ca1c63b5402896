"""A foreground mask and a camera's stature -> one box per person, groups taken apart.

A region that has a person's shape is one person. Any other is explained by silhouettes of the size
that people have at that place: the one that explains most is taken, what it covers is set aside,
and so on until nothing more is explained. All ours; the idea of explaining a mask by silhouettes
of known size is that of Fleuret et al., "Multicamera people tracking with a probabilistic
occupancy map" (PAMI 2008).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from services.reid.detectors.stature import Line

    Mask = NDArray[np.bool_]
    Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class SilhouetteSettings:
    """Tuned on the first 400 frames of PETS 2009 S2L1. Lengths are in pixels of the mask.

    min_height: of anybody. aspects: height over the width of the upper half of a region that may
    be one person: strides are wide, shoulders are not. min_aspect: height over the whole width.
    fit: its height over the height expected there. min_fill: share of a box that a person fills.
    speck: regions smaller than this share of a person's box are dropped. width: of a person's box,
    over its height. noise: share of background pixels that are foreground by mistake.
    min_score: mean log likelihood per pixel of the silhouette, person against nobody.
    crowd: people in one region at most.
    """

    min_height: int = 12
    aspects: tuple[float, float] = (2.5, 5.5)
    min_aspect: float = 1.3
    fit: tuple[float, float] = (0.8, 1.25)
    min_fill: float = 0.35
    speck: float = 0.12
    width: float = 0.4
    noise: float = 0.06
    min_score: float = 0.4
    crowd: int = 12


DEFAULTS = SilhouetteSettings()

HEIGHT_STEP = 1.13
"""Ratio between neighbouring heights of the silhouettes that are tried."""


@dataclass(frozen=True)
class Region:
    """A connected piece of foreground: its tight box, and its own pixels within it."""

    x: int
    y: int
    mask: Mask

    @property
    def height(self) -> int:
        return int(self.mask.shape[0])

    @property
    def width(self) -> int:
        return int(self.mask.shape[1])

    @property
    def foot(self) -> int:
        return self.y + self.height

    @property
    def upper_width(self) -> int:
        """Of the columns that its upper half touches."""
        columns = np.flatnonzero(self.mask[: (self.height + 1) // 2].any(axis=0))
        return int(columns[-1] - columns[0]) + 1

    @property
    def area(self) -> int:
        return int(self.mask.sum())


@dataclass(frozen=True)
class Figure:
    """A person's box in pixels of the mask. score: how well it explains them, in nats a pixel."""

    x: float
    y: float
    width: float
    height: float
    score: float


def regions_of(mask: Mask) -> list[Region]:
    """Connected pieces, with gaps of a few pixels bridged: belts and bag straps cut people up."""
    closed = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 1), np.uint8))
    joined = cv2.dilate(closed, np.ones((5, 3), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    found = []
    for label in range(1, count):
        x, y, width, height, _ = stats[label]
        window = np.s_[y : y + height, x : x + width]
        own = (labels[window] == label) & (closed[window] > 0)
        rows, columns = np.flatnonzero(own.any(1)), np.flatnonzero(own.any(0))
        tight = own[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        found.append(Region(int(x + columns[0]), int(y + rows[0]), tight))
    return found


def whole_person(region: Region, mask: Mask, settings: SilhouetteSettings = DEFAULTS) -> bool:
    """Whether a region looks like one person seen whole, by its shape alone."""
    rows, columns = mask.shape
    inside = (
        region.x > 0 and region.y > 0 and region.foot < rows and region.x + region.width < columns
    )
    return (
        inside
        and region.height >= settings.min_height
        and _is_shaped_like_one(region, settings)
        and region.area >= settings.min_fill * region.height * region.width
    )


def figures_by_shape(mask: Mask, settings: SilhouetteSettings = DEFAULTS) -> list[Figure]:
    """What can be said before the camera's stature is known."""
    return [
        Figure(region.x, region.y, region.width, region.height, settings.min_score)
        for region in regions_of(mask)
        if whole_person(region, mask, settings)
    ]


def figures_by_stature(
    mask: Mask, line: Line, settings: SilhouetteSettings = DEFAULTS
) -> list[Figure]:
    """The people of a mask, at a camera whose stature is known."""
    found: list[Figure] = []
    for region in regions_of(mask):
        expected = line.height(region.foot)
        if region.area < settings.speck * settings.width * expected**2:
            continue
        if _is_one_person(region, expected, settings):
            found.append(Figure(region.x, region.y, region.width, region.height, 1.0))
        else:
            found.extend(_take_apart(region, mask, line, settings))
    return found


def _is_one_person(region: Region, expected: float, settings: SilhouetteSettings) -> bool:
    fits = settings.fit[0] < region.height / expected < settings.fit[1]
    return fits and _is_shaped_like_one(region, settings)


def _is_shaped_like_one(region: Region, settings: SilhouetteSettings) -> bool:
    low, high = settings.aspects
    upper = region.height / region.upper_width
    return low <= upper <= high and region.height / region.width >= settings.min_aspect


def _take_apart(
    region: Region, mask: Mask, line: Line, settings: SilhouetteSettings
) -> Iterator[Figure]:
    """The silhouettes that explain one region, best first."""
    pad = int(line.height(region.foot) / 2)
    top, left = max(0, region.y - pad), max(0, region.x - pad)
    bottom = min(mask.shape[0], region.foot + pad)
    right = min(mask.shape[1], region.x + region.width + pad)
    own = np.zeros((bottom - top, right - left), np.float32)
    place = np.s_[region.y - top :, region.x - left :]
    own[place][: region.height, : region.width] = region.mask
    # Other regions' pixels say neither person nor background here.
    known = np.where(mask[top:bottom, left:right] & (own == 0), 0.0, 1.0).astype(np.float32)
    heights = line.heights(np.arange(top, bottom, dtype=np.float64) + 1.0)
    for _ in range(settings.crowd):
        best = _best_figure(own, known, heights, settings)
        if best.score < settings.min_score:
            return
        _set_aside(known, best)
        tight = _tightened(best, own)
        yield Figure(tight.x + left, tight.y + top, tight.width, tight.height, best.score)


def _best_figure(
    own: Floats, known: Floats, heights: NDArray[np.float64], settings: SilhouetteSettings
) -> Figure:
    """The silhouette with the highest score over all places of a window; each row of feet has its
    own height."""
    bands = np.round(np.log(heights) / np.log(HEIGHT_STEP)).astype(int)
    best = Figure(0, 0, 1, 1, -np.inf)
    for band in np.unique(bands):
        height = round(HEIGHT_STEP**band)
        width = max(4, round(settings.width * height))
        gain, base = _log_likelihood(height, width, settings.noise)
        feet = (width // 2, height - 1)
        response = cv2.filter2D(own * known, -1, gain, anchor=feet, borderType=cv2.BORDER_CONSTANT)
        response = response + cv2.filter2D(
            known, -1, base, anchor=feet, borderType=cv2.BORDER_CONSTANT
        )
        rows = np.flatnonzero(bands == band)
        scores = response[rows] / (height * width)
        n, x = np.unravel_index(int(scores.argmax()), scores.shape)
        if scores[n, x] > best.score:
            left, top = int(x) - width // 2, int(rows[n]) - height + 1
            best = Figure(left, top, width, height, float(scores[n, x]))
    return best


def _set_aside(known: Floats, figure: Figure) -> None:
    """What a figure covers is explained: it speaks neither for nor against those behind."""
    shape = silhouette(int(figure.height), int(figure.width))
    top, left = max(0, -int(figure.y)), max(0, -int(figure.x))
    window = known[
        int(figure.y) + top : int(figure.y + figure.height),
        int(figure.x) + left : int(figure.x + figure.width),
    ]
    covered = shape[top:, left:][: window.shape[0], : window.shape[1]]
    window[covered > 0.35] = 0.0


def _tightened(figure: Figure, own: Floats) -> Figure:
    """Halfway between the silhouette's box and the box of the pixels around it, where these agree
    on what the figure is."""
    dx, dy = max(1, int(0.12 * figure.width)), max(1, int(0.12 * figure.height))
    top, left = max(0, int(figure.y) - dy), max(0, int(figure.x) - dx)
    near = own[top : int(figure.y + figure.height) + dy, left : int(figure.x + figure.width) + dx]
    rows, columns = np.flatnonzero(near.any(1)), np.flatnonzero(near.any(0))
    if len(rows) < 0.7 * figure.height or len(columns) < 0.7 * figure.width:
        return figure
    x, y = left + columns[0], top + rows[0]
    width, height = columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1
    return Figure(
        (figure.x + x) / 2,
        (figure.y + y) / 2,
        (figure.width + width) / 2,
        (figure.height + height) / 2,
        figure.score,
    )


@lru_cache(maxsize=256)
def _log_likelihood(height: int, width: int, noise: float) -> tuple[Floats, Floats]:
    """(what a foreground pixel adds, what any pixel adds), per place of the silhouette."""
    shape = silhouette(height, width)
    person, nobody = np.log(shape / noise), np.log((1 - shape) / (1 - noise))
    return person - nobody, nobody


@lru_cache(maxsize=256)
def silhouette(height: int, width: int) -> Floats:
    """(height, width): how likely each pixel of a person's box is the person. A head, shoulders
    and legs drawn after the mean mask of PETS' annotated boxes."""
    down = (np.arange(height) + 0.5) / height
    across = np.abs((np.arange(width) + 0.5) / width - 0.5) * 2
    half = np.interp(
        down, [0, 0.1, 0.17, 0.25, 0.5, 0.7, 1.0], [0.25, 0.36, 0.42, 0.72, 0.74, 0.6, 0.5]
    )
    out = across[None, :] / half[:, None]
    inner, outer = 0.9 - 0.25 * out**2, np.clip(0.35 - 0.5 * (out - 1), 0.06, 0.35)
    shape: Floats = np.where(out < 1, inner, outer).astype(np.float32)
    return shape
