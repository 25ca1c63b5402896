"""Frame errors and labels of test videos -> AUC and EER, in the three conventions that are in use.

Published figures follow three protocols which disagree by up to twenty points on one set of
scores, so a figure means nothing without the name of its protocol:

video-normalised   each video's errors are scaled to [0, 1] by its own minimum and maximum, then all
                   are pooled. Most older papers; it sees the whole video, so no live system has it.
raw                errors are pooled as they are. What one threshold for all would reach.
macro              the mean of the videos' own AUCs. Each video is padded with a normal frame of
                   error 0 and an abnormal one of its largest error, so that a video of one class
                   counts too (the scripts of AED-SSMTL, SD-MAE and AI-VAD).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from shared.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Sequence

Errors = NDArray[np.floating]
Labels = NDArray[np.bool_]


@dataclass(frozen=True)
class ScoredVideo:
    """One test video. errors, abnormal: one per frame. source: what it was made of, where several
    were made of one; else its own name."""

    name: str
    errors: Errors
    abnormal: Labels
    source: str = ""


@dataclass(frozen=True)
class Roc:
    """A ROC curve, from (0, 0) to (1, 1); abnormal is positive."""

    false_positive_rate: NDArray[np.float64]
    true_positive_rate: NDArray[np.float64]

    @property
    def auc(self) -> float:
        return float(np.trapezoid(self.true_positive_rate, self.false_positive_rate))

    @property
    def eer(self) -> float:
        """The rate at which false positives equal misses, between two points by straight line."""
        excess = self.false_positive_rate - (1.0 - self.true_positive_rate)  # rises from -1 to 1
        after = int(np.argmax(excess >= 0.0))
        step = excess[after] - excess[after - 1]
        part = -excess[after - 1] / step
        before = self.false_positive_rate[after - 1]
        return float(before + part * (self.false_positive_rate[after] - before))


@dataclass(frozen=True)
class Separation:
    """How well errors tell abnormal frames from normal ones."""

    auc: float
    eer: float


@dataclass(frozen=True)
class ThreeSeparations:
    video_normalised: Separation
    raw: Separation
    macro: Separation


def roc(errors: Errors, abnormal: Labels) -> Roc:
    """The curve over all thresholds; tied errors make one point.

    Raises Malformed (`one_class`) where all frames are of one class.
    """
    abnormal = np.asarray(abnormal, dtype=bool)
    return weighted_roc(errors, abnormal, ~abnormal)


def weighted_roc(
    errors: Errors, positives: NDArray[np.generic], negatives: NDArray[np.generic]
) -> Roc:
    """The curve over all thresholds of things that count more than once.

    positives, negatives: like errors, how many abnormal and how many normal ones have each error.
    Raises Malformed (`one_class`) where there are none of one class.
    """
    order = np.argsort(-np.asarray(errors, dtype=np.float64), kind="stable")
    ranked = np.asarray(errors, dtype=np.float64)[order]
    last_of_tie = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    hits = np.cumsum(positives[order], dtype=np.int64)[last_of_tie]
    alarms = np.cumsum(negatives[order], dtype=np.int64)[last_of_tie]
    if not hits[-1] or not alarms[-1]:
        raise Malformed("a ROC curve needs normal and abnormal frames", code="one_class")
    return Roc(
        false_positive_rate=np.concatenate([[0.0], alarms / alarms[-1]]),
        true_positive_rate=np.concatenate([[0.0], hits / hits[-1]]),
    )


def separations(videos: Sequence[ScoredVideo]) -> ThreeSeparations:
    """All three conventions. Raises Malformed (`one_class`) where nothing can be separated."""
    abnormal = np.concatenate([video.abnormal for video in videos])
    normalised = np.concatenate([to_unit_range(video.errors) for video in videos])
    raw = np.concatenate([video.errors for video in videos])
    return ThreeSeparations(
        video_normalised=_separation(normalised, abnormal),
        raw=_separation(raw, abnormal),
        macro=_macro([padded_roc(video) for video in videos]),
    )


def of_both_classes(videos: Sequence[ScoredVideo]) -> list[ScoredVideo]:
    """Scaled to [0, 1] by itself, a video with no normal frame has its quietest ones at 0: however
    good a scorer, they count as missed. In the macro convention any such video counts as perfect.
    """
    return [video for video in videos if 0 < video.abnormal.sum() < len(video.abnormal)]


def to_unit_range(errors: Errors) -> NDArray[np.float64]:
    """One video's errors, from 0 at its least to 1 at its greatest (a flat video: all 0)."""
    values = np.asarray(errors, dtype=np.float64)
    span = values.max() - values.min()
    scaled: NDArray[np.float64] = (values - values.min()) / (span or 1.0)
    return scaled


def padded_roc(video: ScoredVideo) -> Roc:
    """One video's own curve, with the two frames that the macro convention adds.

    Standardised errors may be negative: then the normal frame is below all of them, as 0 is below
    errors that are not.
    """
    least = 0.0 if np.min(video.errors) >= 0.0 else -np.inf
    return roc(
        np.concatenate([video.errors, [least, np.max(video.errors)]]),
        np.concatenate([video.abnormal, [False, True]]),
    )


def _separation(errors: Errors, abnormal: Labels) -> Separation:
    curve = roc(errors, abnormal)
    return Separation(curve.auc, curve.eer)


def _macro(curves: Sequence[Roc]) -> Separation:
    return Separation(
        auc=float(np.mean([curve.auc for curve in curves])),
        eer=float(np.mean([curve.eer for curve in curves])),
    )
