"""Vectors of queries and gallery -> similarities that know each image's neighbourhood.

k-reciprocal encoding: Zhong et al., "Re-ranking Person Re-identification with k-reciprocal
Encoding", CVPR 2017. An image is described by the images that are mutually near to it (R*, with
weights exp(-d)); two images are as alike as these sets overlap (Jaccard), mixed with their own
distance d. As in the published program, d is the squared Euclidean distance over the largest of
its row, and queries are each other's neighbours too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.floating]
    Ints = NDArray[np.integer]

ROWS = 512
"""Rows of distances in memory at once: 20,000 images would take 3 GB."""


@dataclass(frozen=True, kw_only=True)
class Reranking:
    """The paper's k1, k2 and lambda, as it sets them for Market-1501.

    neighbours: within which two images must find each other. averaged: nearest images whose
    descriptions are averaged. own: weight of the distance itself; the rest is the Jaccard distance.
    """

    neighbours: int = 20
    averaged: int = 6
    own: float = 0.3


def rerank(query: Floats, gallery: Floats, settings: Reranking) -> Floats:
    """query: (Q, D), gallery: (G, D), unit vectors -> (Q, G), larger is more alike."""
    vectors = np.concatenate([query, gallery])
    nearest, largest = _nearest(vectors, settings)
    description = _described(vectors, nearest, largest, settings)
    if settings.averaged > 1:
        description = _averaged(description, nearest[:, : settings.averaged])
    asking = len(query)
    jaccard = _jaccard_distance(description[:asking], description[asking:])
    own = _squared_distance(query, gallery) / largest[:asking, None]
    similarity: Floats = -((1 - settings.own) * jaccard + settings.own * own)
    return similarity


def _squared_distance(a: Floats, b: Floats) -> Floats:
    distance: Floats = np.maximum(2.0 - 2.0 * (a @ b.T), 0.0)
    return distance


def _nearest(vectors: Floats, settings: Reranking) -> tuple[Ints, Floats]:
    """(N, k) places of the nearest images, oneself first, as many as are asked for below; and (N,)
    the largest distance."""
    keep = min(max(settings.neighbours + 1, settings.averaged), len(vectors))
    nearest = np.empty((len(vectors), keep), dtype=np.int64)
    largest = np.empty(len(vectors))
    for start in range(0, len(vectors), ROWS):
        rows = slice(start, start + ROWS)
        distance = _squared_distance(vectors[rows], vectors)
        nearest[rows] = _smallest(distance, keep)
        largest[rows] = distance.max(axis=1)
    return nearest, np.maximum(largest, 1e-12)


def _smallest(distance: Floats, keep: int) -> Ints:
    """(rows, keep) places of each row's smallest, in order."""
    near = np.argpartition(distance, keep - 1, axis=1)[:, :keep]
    order = np.argsort(np.take_along_axis(distance, near, axis=1), axis=1)
    return np.take_along_axis(near, order, axis=1)


def _reciprocal(nearest: Ints, count: int) -> list[set[int]]:
    """R(i, k): those of the `count` + 1 nearest that have i among theirs."""
    near = nearest[:, : count + 1]
    mutual = (near[near] == np.arange(len(near))[:, None, None]).any(axis=2)  # (N, count + 1)
    return [set(row[kept].tolist()) for row, kept in zip(near, mutual, strict=True)]


def _described(vectors: Floats, nearest: Ints, largest: Floats, settings: Reranking) -> csr_array:
    """(N, N): row i holds exp(-d) of R*(i), summing to 1."""
    wide = _reciprocal(nearest, settings.neighbours)
    # Half of k1, rounded as numpy.around does.
    narrow = _reciprocal(nearest, round(settings.neighbours / 2))
    columns, values, ends = [], [], [0]
    for n, found in enumerate(wide):
        extended = set(found)
        for candidate in found:
            theirs = narrow[candidate]
            if len(theirs & found) > 2 / 3 * len(theirs):
                extended |= theirs
        members = np.array(sorted(extended))
        weight = np.exp(-_squared_distance(vectors[n], vectors[members]) / largest[n])
        columns.append(members)
        values.append(weight / weight.sum())
        ends.append(ends[-1] + len(members))
    shape = (len(vectors), len(vectors))
    return csr_array((np.concatenate(values), np.concatenate(columns), np.array(ends)), shape=shape)


def _averaged(description: csr_array, nearest: Ints) -> csr_array:
    count, width = nearest.shape
    mean = csr_array(
        (
            np.full(nearest.size, 1 / width),
            nearest.ravel(),
            np.arange(0, nearest.size + 1, width),
        ),
        shape=(count, count),
    )
    return csr_array(mean @ description)


def _jaccard_distance(query: csr_array, gallery: csr_array) -> Floats:
    """(Q, G): 1 - sum of minima / sum of maxima. Rows sum to 1, so the maxima sum to 2 - minima."""
    by_column = gallery.tocsc()
    distance = np.ones((query.shape[0], gallery.shape[0]))
    for n in range(query.shape[0]):
        minima = np.zeros(gallery.shape[0])
        for at in range(query.indptr[n], query.indptr[n + 1]):
            column = query.indices[at]
            cells = slice(by_column.indptr[column], by_column.indptr[column + 1])
            # A column names each row once, so nothing is added twice to one place.
            minima[by_column.indices[cells]] += np.minimum(query.data[at], by_column.data[cells])
        distance[n] = 1 - minima / (2 - minima)
    return distance
