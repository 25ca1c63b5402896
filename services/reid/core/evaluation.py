"""Similarities of queries and gallery -> CMC and mean average precision.

The metrics of Zheng et al., "Scalable Person Re-identification: A Benchmark" (ICCV 2015): gallery
images that show the query's person through the query's own camera are neither right nor wrong and
are left out, as is junk; distractors are wrong for everybody; a query without a right answer in the
gallery is not counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.floating]
    Ints = NDArray[np.integer]

JUNK = -1
"""The person of gallery images that are neither right nor wrong for anybody."""

DISTRACTOR = 0
"""The person of gallery images that are wrong for everybody."""


@dataclass(frozen=True, eq=False)
class Ranking:
    """What one retrieval achieved, by counted query: (N,) each.

    people: who was asked for. first: place of the first right answer, from 1. precisions: average
    precision. trapezoids: the same as the benchmark's own program of 2015 takes it.
    gallery: images in it.
    """

    people: Ints
    first: Ints
    precisions: Floats
    trapezoids: Floats
    gallery: int

    @property
    def queries(self) -> int:
        return len(self.first)

    @property
    def mean_average_precision(self) -> float:
        return float(self.precisions.mean())

    def rank(self, k: int) -> float:
        """CMC at k: the share of queries whose person is among the first k answers."""
        return float((self.first <= k).mean())


@dataclass(frozen=True)
class Labels:
    """Who is on each image, and which camera took it."""

    people: Ints
    cameras: Ints


def rank(similarity: Floats, query: Labels, gallery: Labels) -> Ranking:
    """similarity: (queries, gallery), larger is more alike.

    Raises ValueError where no query has a right answer in the gallery.
    """
    people, first, precisions, trapezoids = [], [], [], []
    for row, person, camera in zip(similarity, query.people, query.cameras, strict=True):
        right = gallery.people[answers(row, person, camera, gallery)] == person
        if not right.any():
            continue
        people.append(person)
        first.append(np.argmax(right) + 1)
        precisions.append(average_precision(right))
        trapezoids.append(trapezoid_precision(right))
    if not people:
        raise ValueError("no query's person is in the gallery through another camera")
    return Ranking(
        np.array(people),
        np.array(first),
        np.array(precisions),
        np.array(trapezoids),
        gallery=len(gallery.people),
    )


def answers(row: Floats, person: np.integer, camera: np.integer, gallery: Labels) -> Ints:
    """Places in the gallery from the most alike down, without those that do not count for a query
    of this person and camera."""
    same_view = (gallery.people == person) & (gallery.cameras == camera)
    counted = np.flatnonzero(~same_view & (gallery.people != JUNK))
    order: Ints = counted[np.argsort(-row[counted], kind="stable")]
    return order


def average_precision(right: NDArray[np.bool_]) -> float:
    """Mean precision at the places of the right answers, in rank order: what studies report
    today."""
    places = np.flatnonzero(right)
    return float(np.mean(np.arange(1, len(places) + 1) / (places + 1)))


def trapezoid_precision(right: NDArray[np.bool_]) -> float:
    """Area under precision over recall by trapezoids, as Market-1501's own program of 2015 and the
    studies of its time have it; a little below `average_precision`."""
    places = np.flatnonzero(right)
    found = np.arange(len(places))
    before = np.where(places > 0, found / np.maximum(places, 1), 1.0)
    return float(np.mean((before + (found + 1) / (places + 1)) / 2))
