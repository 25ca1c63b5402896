"""Tracklets of a clip -> whose track each continues, and which person each looks like.

Continuity comes first: at one camera a person is where they were going a moment ago. Appearance
comes second, and only for tracks that have no person yet. All settings are ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linear_sum_assignment

from services.reid.core.tracking import Step, TrackingSettings, distances, motion_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Vector = NDArray[np.float32]


@dataclass(frozen=True)
class IdentitySettings:
    """min_belief: an appearance is taken for a known person from here on. min_quality: a crop below
    it opens no identity and joins none; its tracklet waits for a better one of the same track.
    likeness: what a track's next box may differ in looks (cosine) at the least.
    """

    min_belief: float = 0.5
    min_quality: float = 0.15
    likeness: float = 0.2
    tracking: TrackingSettings = field(default_factory=TrackingSettings)


@dataclass(frozen=True, eq=False)
class Appearance:
    """A tracklet as identity sees it: its boxes in the order of time, and its unit vector."""

    steps: tuple[Step, ...]
    vector: Vector
    quality: float


@dataclass(frozen=True)
class Candidate:
    """A known person whom a tracklet looks like. similarity: cosine of the nearest tracklet."""

    person_id: str
    similarity: float


@dataclass(frozen=True)
class Verdict:
    """person_id None: nobody known. belief: that it is this person."""

    person_id: str | None
    belief: float


def continued(
    trails: Sequence[Appearance], found: Sequence[Appearance], settings: IdentitySettings
) -> dict[int, int]:
    """Index of each found tracklet that continues a trail -> index of that trail.

    A trail is the last tracklet of a track at the same camera, of the clips before.
    """
    cost = np.full((len(trails), len(found)), np.inf)
    for row, trail in enumerate(trails):
        motion = motion_of(trail.steps, settings.tracking)
        for column, tracklet in enumerate(found):
            first = tracklet.steps[0]
            elapsed_s = first.time_s - trail.steps[-1].time_s
            if not 0 < elapsed_s <= settings.tracking.max_gap_s:
                continue
            if float(trail.vector @ tracklet.vector) < settings.likeness:
                continue
            (distance,) = distances(motion, [first.box], elapsed_s, settings.tracking)
            if distance <= settings.tracking.gate:
                cost[row, column] = distance
    return {column: row for row, column in _cheapest(cost)}


def recognised(
    candidates: Sequence[Sequence[Candidate]],
    together: Mapping[int, frozenset[str]],
    belief: Belief,
    settings: IdentitySettings,
) -> list[Verdict]:
    """Who each tracklet is, by appearance.

    candidates: of each tracklet. together: persons seen beside a tracklet at its camera, whom it
    therefore cannot be. Two tracklets of one clip are never one person here.
    """
    persons = sorted({c.person_id for found in candidates for c in found})
    column_of = {person: column for column, person in enumerate(persons)}
    beliefs = np.zeros((len(candidates), len(persons)))
    for row, found in enumerate(candidates):
        for candidate in found:
            if candidate.person_id not in together.get(row, frozenset()):
                column = column_of[candidate.person_id]
                beliefs[row, column] = max(beliefs[row, column], belief(candidate.similarity))
    verdicts = [Verdict(None, 1.0 - float(row.max(initial=0.0))) for row in beliefs]
    cost = np.where(beliefs >= settings.min_belief, 1.0 - beliefs, np.inf)
    for row, column in _cheapest(cost):
        verdicts[row] = Verdict(persons[column], float(beliefs[row, column]))
    return verdicts


@dataclass(frozen=True)
class Belief:
    """Cosine similarity -> belief that two tracklets are one person (the model card's logistic)."""

    slope: float
    offset: float

    def __call__(self, similarity: float) -> float:
        return 1.0 / (1.0 + math.exp(-(self.slope * similarity + self.offset)))


def _cheapest(cost: NDArray[np.float64]) -> list[tuple[int, int]]:
    """The assignment of rows to columns with the lowest cost; infinite pairs are left out."""
    if not cost.size:
        return []
    possible = np.isfinite(cost)
    # A finite price keeps the assignment solvable where some row has no possible column.
    rows, columns = linear_sum_assignment(np.where(possible, cost, 1e6))
    return [
        (int(row), int(column))
        for row, column in zip(rows, columns, strict=True)
        if possible[row, column]
    ]
