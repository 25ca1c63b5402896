"""Similarities of queries and gallery -> CMC and mean average precision.

The metrics of Zheng et al., "Scalable Person Re-identification: A Benchmark" (ICCV 2015): gallery
images that show the query's person through the query's own camera are neither right nor wrong and
are left out; a query without a right answer in the gallery is not counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.floating]
    Ints = NDArray[np.integer]

JUNK = -1
"""The person of gallery images that are neither right nor wrong for anybody."""


@dataclass(frozen=True)
class Ranking:
    """What a retrieval achieved.

    cmc: `cmc[k - 1]` is the share of queries whose person is among the first k answers.
    mean_average_precision: over the queries. queries: how many had a right answer to find.
    """

    cmc: tuple[float, ...]
    mean_average_precision: float
    queries: int
    gallery: int

    def rank(self, k: int) -> float:
        """CMC at k; beyond the gallery's size every query has been answered as well as it can."""
        return self.cmc[min(k, len(self.cmc)) - 1]


@dataclass(frozen=True)
class Labels:
    """Who is on each image, and which camera took it."""

    people: Ints
    cameras: Ints


def rank(similarity: Floats, query: Labels, gallery: Labels) -> Ranking:
    """similarity: (queries, gallery), larger is more alike.

    Raises ValueError where no query has a right answer in the gallery.
    """
    hits = np.zeros(len(gallery.people), dtype=np.int64)
    precisions: list[float] = []
    for row, person, camera in zip(similarity, query.people, query.cameras, strict=True):
        right = _right_answers(row, person, camera, gallery)
        if not right.any():
            continue
        hits[np.argmax(right) :] += 1
        precisions.append(average_precision(right))
    if not precisions:
        raise ValueError("no query's person is in the gallery through another camera")
    return Ranking(
        cmc=tuple(float(share) for share in hits / len(precisions)),
        mean_average_precision=float(np.mean(precisions)),
        queries=len(precisions),
        gallery=len(gallery.people),
    )


def _right_answers(
    row: Floats, person: np.integer, camera: np.integer, gallery: Labels
) -> NDArray[np.bool_]:
    """The gallery from the most alike down, without what does not count: is each one right?"""
    same_view = (gallery.people == person) & (gallery.cameras == camera)
    counted = ~same_view & (gallery.people != JUNK)
    order = np.argsort(-row[counted], kind="stable")
    right: NDArray[np.bool_] = (gallery.people[counted] == person)[order]
    return right


def average_precision(right: NDArray[np.bool_]) -> float:
    """Mean precision at the positions of the right answers, in rank order."""
    positions = np.flatnonzero(right)
    return float(np.mean(np.arange(1, len(positions) + 1) / (positions + 1)))


def mean_of(rankings: Sequence[Ranking]) -> Ranking:
    """The mean over repetitions of a protocol, all with galleries of one size."""
    return Ranking(
        cmc=tuple(np.mean([ranking.cmc for ranking in rankings], axis=0).tolist()),
        mean_average_precision=float(np.mean([r.mean_average_precision for r in rankings])),
        queries=rankings[0].queries,
        gallery=rankings[0].gallery,
    )
