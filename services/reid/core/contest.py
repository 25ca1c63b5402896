"""How well models find the same people -> which of them is to serve.

A candidate is better where its gain in mAP over the model that serves lies above zero with other
people, too: the interval is over resamples of those who were asked for, whose queries stand or fall
together. Whether made data was of use is asked likewise, of the same training without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from services.reid.core.outcome import COVERAGE, RESAMPLES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.reid.core.evaluation import Ranking

SEED = 0


@dataclass(frozen=True)
class Standing:
    """One model in the contest. Shares in [0, 1]."""

    rank1: float
    map: float


@dataclass(frozen=True)
class Gain:
    """Of one model over another on the same queries, in shares, and its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Contest:
    """without_made, made_gain: of the same training without made data, and what the candidate gains
    over it; None where there was none. faults: why the candidate is not better; none where it
    is."""

    serving: Standing
    candidate: Standing
    without_made: Standing | None
    people: int
    queries: int
    gain: Gain
    made_gain: Gain | None
    faults: tuple[str, ...]

    @property
    def is_won(self) -> bool:
        return not self.faults


def contest(serving: Ranking, candidate: Ranking, without_made: Ranking | None = None) -> Contest:
    """The same queries to the same gallery, as each model ranks them."""
    gain = gain_over(serving, candidate)
    faults = []
    if gain.low <= 0:
        faults.append(
            f"its mAP is higher by {gain.mean:.4f}, and with other people by {gain.low:.4f} to"
            f" {gain.high:.4f}: it might be no better"
        )
    return Contest(
        serving=_standing(serving),
        candidate=_standing(candidate),
        without_made=None if without_made is None else _standing(without_made),
        people=len(np.unique(serving.people)),
        queries=serving.queries,
        gain=gain,
        made_gain=None if without_made is None else gain_over(without_made, candidate),
        faults=tuple(faults),
    )


def gain_over(one: Ranking, other: Ranking) -> Gain:
    """What the other's mAP has over the one's. Raises ValueError for rankings of other queries."""
    if not np.array_equal(one.people, other.people):
        raise ValueError("two models are compared by the same queries")
    return paired_gain(other.precisions - one.precisions, one.people)


def paired_gain(
    gains: NDArray[np.floating], people: NDArray[np.integer], resamples: int = RESAMPLES
) -> Gain:
    """(queries,) both: what each query gains, and who it asks for; people are drawn anew."""
    person = np.unique(people, return_inverse=True)[1]
    count = int(person.max()) + 1
    drawn = np.random.default_rng(SEED).multinomial(
        count, np.full(count, 1 / count), resamples
    )  # (resamples, people)
    resampled = (drawn @ np.bincount(person, weights=gains)) / (drawn @ np.bincount(person))
    low, high = np.quantile(resampled, (0.5 - COVERAGE / 2, 0.5 + COVERAGE / 2))
    return Gain(float(gains.mean()), float(low), float(high))


def _standing(ranking: Ranking) -> Standing:
    return Standing(rank1=ranking.rank(1), map=ranking.mean_average_precision)
