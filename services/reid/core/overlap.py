"""Where people stand in two cameras' pictures at once -> where one picture lies in the other.

Feet walk on one plane, so that a homography takes those in one picture to those in the other. It is
learnt from people who were recognised in both, of whom some were mistaken: it is fitted by random
samples (Fischler and Bolles, "Random sample consensus", CACM 1981), and believed only where enough
of them agree. All settings are ours.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from shared.messages import Box

    Floats = NDArray[np.float64]

MOST_PEOPLE = 150
"""Whose places are kept of each pair of cameras: the newest."""

FEWEST_PEOPLE = 12
GROWTH = 1.3
"""A fit is made anew when so many times the people are known."""

SAMPLES = 400
LEAST = 4
"""Places that a homography takes; it is fitted to more by least squares."""

AGREEING = 0.35
"""Distance, in heights of the person, up to which a place agrees with a fit."""

AGREEMENT = 0.3
"""Share of the places that must agree with a fit."""

SPREAD = 0.15
"""Least standard deviation of a place, per axis, in heights."""

STRAY = 0.05
"""Share of people who stand somewhere else than the fit says."""

APART_S = 1.0
"""Two looks at a person, between which their place is interpolated, lie no further apart."""


@dataclass(frozen=True)
class Stand:
    """Where somebody's feet were, in pixels, and how tall they stood there."""

    time_s: float
    x: float
    y: float
    height: float

    @classmethod
    def of(cls, time_s: float, box: Box) -> Stand:
        return cls(time_s, box.x + box.width / 2, box.y + box.height, box.height)


def together(there: Sequence[Stand], here: Sequence[Stand]) -> Floats:
    """(N, 5) of the moments at which both saw somebody: place there, place here, height here."""
    if not there or not here:
        return np.zeros((0, 5))
    if there[-1].time_s < here[0].time_s or here[-1].time_s < there[0].time_s:
        return np.zeros((0, 5))
    times = [it.time_s for it in there]
    found = []
    for it in here:
        after = bisect_left(times, it.time_s)
        if after == len(times) or (after == 0 and times[0] > it.time_s):
            continue
        before = max(after - 1, 0)
        span = times[after] - times[before]
        if span <= APART_S:
            part = (it.time_s - times[before]) / span if span else 0.0
            x = there[before].x + part * (there[after].x - there[before].x)
            y = there[before].y + part * (there[after].y - there[before].y)
            found.append((x, y, it.x, it.y, it.height))
    return np.array(found).reshape(-1, 5)


@dataclass
class Overlap:
    """Of one camera's picture in another's, in one direction."""

    _places: deque[tuple[Floats, float]] = field(default_factory=lambda: deque(maxlen=MOST_PEOPLE))
    _taught: int = 0
    _fitted_at: int = 0
    _plane: Floats | None = None
    _spread: float = SPREAD
    _room: float = 1.0

    def learn(self, places: Floats, belief: float, rng: np.random.Generator) -> None:
        """places: as of `together`, of somebody who may be one person, as far as that is
        believed."""
        if not len(places):
            return
        self._places.append((places, belief))
        self._taught += 1
        if self._taught >= max(FEWEST_PEOPLE, GROWTH * self._fitted_at):
            self._fitted_at = self._taught
            places = np.concatenate([it for it, _ in self._places])
            weights = np.concatenate([np.full(len(it), weight) for it, weight in self._places])
            self._fit(places, weights / weights.sum(), rng)

    def evidence(self, places: Floats) -> float:
        """How many times likelier such places are of one person than of two; 1 while nothing is
        known, or where nobody was seen by both at once."""
        if self._plane is None or not len(places):
            return 1.0
        distance = float(np.median(_distances(self._plane, places)[0]))
        nearness = math.exp(-(distance**2) / (2 * self._spread**2))
        density = nearness / (2 * math.pi * self._spread**2)
        return (1 - STRAY) * density * self._room + STRAY

    def _fit(self, places: Floats, weights: Floats, rng: np.random.Generator) -> None:
        chosen = rng.choice(len(places), size=(SAMPLES, 4), p=weights)
        near = _distances(_planes_through(places[chosen]), places) < AGREEING
        agreement = near @ weights
        agree = near[agreement.argmax()]
        self._plane = None
        if agreement.max() < AGREEMENT or agree.sum() < LEAST:
            return
        found = cv2.findHomography(places[agree, :2], places[agree, 2:4])[0]
        plane = np.asarray(found, np.float64)
        if not plane.ndim:  # OpenCV has found None, against its own types
            return
        distances = _distances(plane[None], places)[0]
        agree = distances < AGREEING
        if not agree.any():
            return
        self._plane = plane[None]
        # Of a distance in two dimensions the median is 1.18 standard deviations.
        self._spread = max(SPREAD, float(np.median(distances[agree])) / 1.18)
        x, y, height = places[:, 2], places[:, 3], places[:, 4]
        self._room = max(1.0, float(12 * x.std() * y.std() / np.median(height) ** 2))


def _distances(planes: Floats, places: Floats) -> Floats:
    """planes: (S, 3, 3) -> (S, N), of where people stood from where they should have, in their
    heights."""
    there = np.column_stack([places[:, :2], np.ones(len(places))]) @ planes.transpose(0, 2, 1)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        gaps = there[..., :2] / there[..., 2:] - places[:, 2:4]
        distances = np.hypot(gaps[..., 0], gaps[..., 1]) / places[:, 4]
    return np.where(np.isfinite(distances), distances, np.inf)


def _planes_through(places: Floats) -> Floats:
    """places: (S, 4, 5) -> (S, 3, 3), the homographies that take the four there to those here."""
    there, here = np.ascontiguousarray(np.split(places[..., :4], 2, axis=-1), np.float32)
    return np.stack([cv2.getPerspectiveTransform(*ends) for ends in zip(there, here, strict=True)])
