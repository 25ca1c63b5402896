"""Who was who, and for whom the gallery took them -> IDF1, identity switches, calibration"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linear_sum_assignment

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
"""Edges of the confidences that are counted together."""


@dataclass(frozen=True)
class IdentityFigures:
    """Ristani et al., "Performance measures and a data set for multi-target, multi-camera
    tracking", ECCV workshops 2016, over all cameras at once.

    switches: times that a person's id is another than at their sight before, in whatever camera.
    ids: that were given. people: who were seen.
    """

    idf1: float
    idp: float
    idr: float
    switches: int
    ids: int
    people: int
    sights: int


def identity_figures(sights: Sequence[tuple[Hashable, Hashable | None]]) -> IdentityFigures:
    """sights: (person, the id that was given, None for none), in the order of time."""
    together = Counter((person, given) for person, given in sights if given is not None)
    people = {person: n for n, person in enumerate(dict.fromkeys(person for person, _ in sights))}
    ids = {given: n for n, given in enumerate(dict.fromkeys(given for _, given in together))}
    counts = np.zeros((len(people), len(ids)))
    for (person, given), count in together.items():
        counts[people[person], ids[given]] = count
    true = float(counts[linear_sum_assignment(counts, maximize=True)].sum())
    given_count = sum(together.values())
    return IdentityFigures(
        idf1=2 * true / max(len(sights) + given_count, 1),
        idp=true / max(given_count, 1),
        idr=true / max(len(sights), 1),
        switches=_switches(sights),
        ids=len(ids),
        people=len(people),
        sights=len(sights),
    )


def _switches(sights: Iterable[tuple[Hashable, Hashable | None]]) -> int:
    """Sights without an id interrupt nothing."""
    last: dict[Hashable, Hashable] = {}
    switches = 0
    for person, given in sights:
        if given is not None:
            switches += last.get(person, given) != given
            last[person] = given
    return switches


@dataclass(frozen=True)
class Level:
    """Statements of much the same confidence. stated: their mean. right: the share that was."""

    count: int
    stated: float
    right: float


def calibration(statements: Iterable[tuple[float, bool]]) -> list[Level]:
    """statements: (confidence, whether it was right). Levels that nobody stated are left out."""
    of: dict[int, list[tuple[float, bool]]] = defaultdict(list)
    for confidence, right in statements:
        of[int(np.searchsorted(LEVELS[:-1], confidence, side="right"))].append((confidence, right))
    return [
        Level(len(of[n]), *(float(value) for value in np.mean(of[n], axis=0))) for n in sorted(of)
    ]
