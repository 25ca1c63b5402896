"""A plan -> which anomaly happens where and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.synthetic.city.anomalies.cue import Anomaly, Cue
from services.synthetic.city.anomalies.kinds import ANOMALIES
from services.synthetic.city.chance import stream
from services.synthetic.city.truth import AnomalyKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np

    from services.synthetic.city.plan import CityPlan
    from services.synthetic.city.stage import Stage

UNEVEN = (0.85, 1.15)
"""The pause between two starts, in means of the plan."""

REST_S = 3.0
"""Least time between two anomalies of one camera."""


def script(plan: CityPlan, stages: Sequence[Stage], first_id: int) -> tuple[Anomaly, ...]:
    """All anomalies that are over before the city ends, by start. first_id: of their actors."""
    if not plan.anomalies:
        return ()
    rng = stream(plan.seed, "anomalies")
    kinds, sites = _kinds(rng), _sites(rng, plan.cameras)
    start_s = max(plan.first_anomaly_by_s - float(rng.uniform(3.0, 9.5)), 0.5)
    free_at = [0.0] * plan.cameras
    written: list[Anomaly] = []
    while True:
        kind, site = ANOMALIES[next(kinds)], next(sites)
        start_s = max(start_s, free_at[site])
        if start_s + kind.longest_s > plan.duration_s:
            return tuple(written)
        written.append(kind(Cue(site, start_s, stages[site].view, first_id), rng))
        first_id += kind.actors
        free_at[site] = start_s + kind.longest_s + REST_S
        start_s += plan.anomaly_every_s * float(rng.uniform(*UNEVEN))


def _kinds(rng: np.random.Generator) -> Iterator[AnomalyKind]:
    """A vehicle first; then, round after round, every kind once."""
    yield AnomalyKind.VEHICLE_ON_WALKWAY
    turn = [kind for kind in AnomalyKind if kind is not AnomalyKind.VEHICLE_ON_WALKWAY]
    while True:
        for n in rng.permutation(len(turn)).tolist():
            yield turn[n]
        turn = [*AnomalyKind]


def _sites(rng: np.random.Generator, cameras: int) -> Iterator[int]:
    """Every camera once, round after round, none twice in a row where there are others."""
    last = -1
    while True:
        order: list[int] = rng.permutation(cameras).tolist()
        if cameras > 1 and order[0] == last:
            order.reverse()
        yield from order
        last = order[-1]
