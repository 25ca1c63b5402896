"""Rankings with a made data set and without -> what it adds, and whether that is a gain.

The main comparison was stated before any figure of it was known: people are learnt on cameras 1 to
3 of Market's own split, styles from crops of training people on cameras 4 to 6 that nobody has
labelled, and test people are asked for and found on cameras 4 to 6 alone. The measure is mAP with
each camera's mean vector taken away, of the one-network translator's data set against the two
controls, colour transfer and colour jitter, which are data sets of the same crops made without
learning: the same network, steps, real crops and seeds for all. What else was open, such as whether
colours are transferred before, was chosen by the kernel distance to training crops of those cameras
(`measure`), and may be chosen on training people held out (`--validation`).

An interval is that of a paired bootstrap: of each query the average precision with, less that
without, means over the seeds; people are drawn anew, all queries of one together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from services.reid.core.contest import Gain, paired_gain
from services.reid.training.ground import CENTRED, PLAIN
from shared.made_data import Outcome, Verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.reid.core.evaluation import Ranking

    Floats = NDArray[np.float64]

BASE = "base"
RESAMPLES = 10_000

Measured = Mapping[str, Sequence["Ranking"]]
"""Of one arm: `plain` and `centred`, a ranking for each seed."""


def average_precisions(rankings: Sequence[Ranking]) -> Floats:
    """(queries,), means over the seeds."""
    return np.asarray(np.mean([one.precisions for one in rankings], axis=0), np.float64)


def first_places(rankings: Sequence[Ranking]) -> Floats:
    """(queries,): the share of seeds in which the first answer is right."""
    return np.asarray(np.mean([one.first == 1 for one in rankings], axis=0), np.float64)


def gain_of(with_it: Floats, without: Floats, people: NDArray[np.integer]) -> Gain:
    """(queries,) each, of the same queries in the same order."""
    return paired_gain(with_it - without, people, RESAMPLES)


def deltas(with_it: Measured, without: Measured) -> dict[str, Gain]:
    """`map`, `rank1`, `map_centred` and `rank1_centred`."""
    found = {}
    for way, suffix in ((PLAIN, ""), (CENTRED, "_centred")):
        ours, theirs = with_it[way], without[way]
        for name, by_query in (("map", average_precisions), ("rank1", first_places)):
            found[f"{name}{suffix}"] = gain_of(by_query(ours), by_query(theirs), ours[0].people)
    return found


def figures_of(arm: Measured) -> dict[str, float]:
    """mAP and rank 1, plain and centred: means over the seeds, and `_sd` of mAP among them."""
    found = {}
    for way, suffix in ((PLAIN, ""), (CENTRED, "_centred")):
        maps = [one.mean_average_precision for one in arm[way]]
        found[f"map{suffix}"] = float(np.mean(maps))
        found[f"map{suffix}_sd"] = float(np.std(maps, ddof=1)) if len(maps) > 1 else 0.0
        found[f"rank1{suffix}"] = float(np.mean([one.rank(1) for one in arm[way]]))
    return found


def verdict_of(
    name: str, arms: Mapping[str, Measured], controls: Sequence[str], on: str
) -> Verdict:
    """`gain` only where mAP with centring has an interval above zero over training without it and
    over every control."""
    rivals = [rival for rival in (BASE, *controls) if rival != name]
    figures = {f"map_centred_with_{name}": figures_of(arms[name])["map_centred"]}
    gains = []
    for rival in rivals:
        ours, theirs = arms[name][CENTRED], arms[rival][CENTRED]
        added = gain_of(average_precisions(ours), average_precisions(theirs), ours[0].people)
        figures |= {
            f"map_centred_with_{rival}": figures_of(arms[rival])["map_centred"],
            f"map_centred_over_{rival}": added.mean,
            f"map_centred_over_{rival}_low": added.low,
            f"map_centred_over_{rival}_high": added.high,
        }
        gains.append(added.low > 0)
    outcome = Outcome.GAIN if all(gains) else Outcome.NO_GAIN
    return Verdict(outcome=outcome, measured_on=on, figures=figures)
