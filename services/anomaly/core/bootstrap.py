"""Scored test videos -> how far their AUCs would fall apart, had other videos been filmed.

The frames of one video are nearly one frame, so whole videos are drawn, with replacement, and those
of one source together: the percentile interval of the bootstrap (Efron and Tibshirani, 1993) over
clusters.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.anomaly.core.evaluation import padded_roc, to_unit_range

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.anomaly.core.evaluation import ScoredVideo

Weights = NDArray[np.int64]
"""(draws, videos): how often each video is in each draw."""

DRAWS = 1000
CONFIDENCE = 0.95
SEED = 0


class Interval(NamedTuple):
    low: float
    high: float


@dataclass(frozen=True)
class ThreeIntervals:
    """Of the AUCs in the three conventions (see core/evaluation.py)."""

    video_normalised: Interval
    raw: Interval
    macro: Interval


def auc_intervals(videos: Sequence[ScoredVideo], *, draws: int, seed: int) -> ThreeIntervals:
    """The middle 95 % of the AUCs of `draws` resamples; the same seed draws the same videos for
    every scorer, so that rows of one table stand on the same draws.

    A resample without normal or without abnormal frames has no AUC and is drawn anew. videos: with
    frames of both classes among them, as `separations` demands.
    """
    weights = _drawn(videos, draws, np.random.default_rng(seed))
    unit = [replace(video, errors=to_unit_range(video.errors)) for video in videos]
    each = np.array([padded_roc(video).auc for video in videos])
    return ThreeIntervals(
        video_normalised=_middle(_pooled_aucs(unit, weights)),
        raw=_middle(_pooled_aucs(videos, weights)),
        macro=_middle(weights @ each / weights.sum(axis=1)),
    )


def auc_gain(
    before: Sequence[ScoredVideo], after: Sequence[ScoredVideo], *, draws: int, seed: int
) -> Interval:
    """The middle 95 % of by how much the raw AUC is higher after than before.

    The same videos, scored twice: each draw compares both on the videos that it drew, so that a
    difficult one among them is held against neither.
    """
    weights = _drawn(before, draws, np.random.default_rng(seed))
    return _middle(_pooled_aucs(after, weights) - _pooled_aucs(before, weights))


def _drawn(videos: Sequence[ScoredVideo], draws: int, random: np.random.Generator) -> Weights:
    abnormal, normal = _counts(videos)
    sources = [video.source or video.name for video in videos]
    number = {source: n for n, source in enumerate(dict.fromkeys(sources))}
    source_of = [number[source] for source in sources]
    chances = np.full(len(number), 1.0 / len(number))
    accepted: list[Weights] = []
    while (missing := draws - sum(map(len, accepted))) > 0:
        weights = random.multinomial(len(number), chances, size=missing)[:, source_of]
        accepted.append(weights[(weights @ abnormal > 0) & (weights @ normal > 0)])
    return np.concatenate(accepted)


def _pooled_aucs(videos: Sequence[ScoredVideo], weights: Weights) -> NDArray[np.float64]:
    """One AUC per draw, exactly: the pairs of an abnormal and a normal frame that are ranked
    rightly are counted once per pair of videos, and a draw only weighs these counts."""
    abnormal, normal = _counts(videos)
    normals = [np.sort(video.errors[~video.abnormal]) for video in videos]
    rightly = np.array(
        [[_rightly_ranked(v.errors[v.abnormal], others) for others in normals] for v in videos]
    )
    hits = np.einsum("di,ij,dj->d", weights, rightly, weights)
    aucs: NDArray[np.float64] = hits / ((weights @ abnormal) * (weights @ normal))
    return aucs


def _rightly_ranked(abnormal: NDArray[np.floating], ranked_normals: NDArray[np.floating]) -> float:
    """Pairs in which the abnormal frame has the larger error; a tie is half of one."""
    below = np.searchsorted(ranked_normals, abnormal, side="left").sum()
    not_above = np.searchsorted(ranked_normals, abnormal, side="right").sum()
    return float(below + not_above) / 2


def _counts(videos: Sequence[ScoredVideo]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Abnormal and normal frames of each video."""
    abnormal = np.array([int(video.abnormal.sum()) for video in videos])
    return abnormal, np.array([len(video.errors) for video in videos]) - abnormal


def _middle(values: NDArray[np.float64]) -> Interval:
    tail = 100 * (1.0 - CONFIDENCE) / 2
    low, high = np.percentile(values, [tail, 100 - tail])
    return Interval(float(low), float(high))
