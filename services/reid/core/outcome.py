"""Rankings of a protocol's trials -> its figures, and how far they may be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from services.reid.core.evaluation import Ranking

    Floats = NDArray[np.floating]

RANKS = (1, 5, 10, 20)

RESAMPLES = 2000
COVERAGE = 0.95


@dataclass(frozen=True)
class Outcome:
    """What a protocol's trials achieved. A figure is the mean over the trials."""

    rankings: Sequence[Ranking]

    @property
    def queries(self) -> int:
        """Counted ones of one trial, the first."""
        return self.rankings[0].queries

    @property
    def gallery(self) -> int:
        """Images of one trial, the first."""
        return self.rankings[0].gallery

    @property
    def mean_average_precision(self) -> float:
        return self.figures["map"]

    def rank(self, k: int) -> float:
        return float(np.mean([ranking.rank(k) for ranking in self.rankings]))

    @property
    def figures(self) -> dict[str, float]:
        """`rank1`, `rank5`, `rank10`, `rank20`, `map`, `map_trapezoid`: shares in [0, 1]."""
        by_trial = [
            {name: float(values.mean()) for name, values in _by_query(ranking).items()}
            for ranking in self.rankings
        ]
        return {name: float(np.mean([one[name] for one in by_trial])) for name in by_trial[0]}

    def spread(self, rng: np.random.Generator) -> dict[str, float]:
        """Of one trial: `NAME_low` and `NAME_high`, the 95 % interval of each figure over resamples
        of the people asked for (queries of one person stand or fall together). Of several trials:
        `NAME_sd`, the standard deviation among them; being drawn from the same people, they are
        too alike for an interval."""
        if len(self.rankings) == 1:
            return _bootstrap(self.rankings[0], rng)
        means = [
            {name: values.mean() for name, values in _by_query(ranking).items()}
            for ranking in self.rankings
        ]
        return {f"{name}_sd": float(np.std([m[name] for m in means], ddof=1)) for name in means[0]}


def _by_query(ranking: Ranking) -> dict[str, Floats]:
    """What each figure is the mean of: (queries,) each."""
    hits = {f"rank{k}": (ranking.first <= k).astype(np.float64) for k in RANKS}
    return {**hits, "map": ranking.precisions, "map_trapezoid": ranking.trapezoids}


def _bootstrap(ranking: Ranking, rng: np.random.Generator) -> dict[str, float]:
    person = np.unique(ranking.people, return_inverse=True)[1]
    people = int(person.max()) + 1
    queries = np.bincount(person)
    drawn = rng.multinomial(people, np.full(people, 1 / people), RESAMPLES)  # (resamples, people)
    bounds: dict[str, float] = {}
    for name, values in _by_query(ranking).items():
        resampled = (drawn @ np.bincount(person, weights=values)) / (drawn @ queries)
        tails = (0.5 - COVERAGE / 2, 0.5 + COVERAGE / 2)
        low, high = np.quantile(resampled, tails)
        bounds |= {f"{name}_low": float(low), f"{name}_high": float(high)}
    return bounds
