"""What two models say of one camera's held-out clips -> which of them is to serve it.

Drawing normal footage better is no merit by itself: a network that draws everything well finds
nothing. So each clip is shown as it was filmed and with something invented in it, and a model is
better that tells the two apart better, without finding less where false alarms are few. The bounds
are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from services.anomaly.core.bootstrap import DRAWS, SEED, Interval, auc_gain
from services.anomaly.core.evaluation import ScoredVideo, roc

if TYPE_CHECKING:
    from collections.abc import Sequence

MARGIN = 0.01
"""The candidate's AUC must be higher by so much: less is worth no new baseline."""

CHANCE = 0.5
"""AUC of a model that tells nothing: one that knows no better has learnt something else."""

FALSE_ALARMS = 0.01
"""Share of normal frames above the threshold at which both models' recall is read."""


@dataclass(frozen=True)
class Standing:
    """One model in the contest. auc: of invented over normal frames. recall: of invented frames,
    where FALSE_ALARMS of the normal ones are above the threshold. tail: the normal error that one
    frame in a hundred exceeds, over the median one."""

    auc: float
    recall: float
    tail: float


@dataclass(frozen=True)
class Contest:
    """gain: of the AUC, the 95 % interval of it by clip. faults: why the candidate is not better;
    none where it is."""

    serving: Standing
    candidate: Standing
    clips: int
    gain: float
    interval: Interval
    faults: tuple[str, ...]

    @property
    def is_won(self) -> bool:
        return not self.faults


def contest(serving: Sequence[ScoredVideo], candidate: Sequence[ScoredVideo]) -> Contest:
    """The same clips as each of the two scores them; abnormal: invented."""
    one, other = standing_of(serving), standing_of(candidate)
    gain = other.auc - one.auc
    interval = auc_gain(serving, candidate, draws=DRAWS, seed=SEED)
    faults = []
    if gain < MARGIN:
        faults.append(f"its AUC is higher by {gain:.4f}, and must be by {MARGIN}")
    if other.auc <= CHANCE:
        faults.append(f"its AUC of {other.auc:.3f} is no better than chance")
    if interval.low <= 0:
        faults.append("with other clips of the camera it might be no better")
    if other.recall < one.recall:
        faults.append(
            f"at {FALSE_ALARMS:.0%} false alarms it finds {other.recall:.1%} of what the serving"
            f" model finds {one.recall:.1%} of"
        )
    return Contest(one, other, len(serving), gain, interval, tuple(faults))


def standing_of(clips: Sequence[ScoredVideo]) -> Standing:
    errors = np.concatenate([clip.errors for clip in clips])
    invented = np.concatenate([clip.abnormal for clip in clips])
    normal = errors[~invented]
    threshold = np.quantile(normal, 1 - FALSE_ALARMS)
    return Standing(
        auc=roc(errors, invented).auc,
        recall=float((errors[invented] > threshold).mean()),
        tail=float(threshold / max(np.median(normal), 1e-12)),
    )
