from __future__ import annotations

import motmetrics
import numpy as np
import pytest

from services.reid.core.identity_figures import calibration, identity_figures


def test_a_person_with_two_ids_has_the_longer_one():
    sights = [("anna", 1), ("anna", 1), ("anna", 1), ("anna", 2)]
    found = identity_figures(sights)
    assert (found.idf1, found.idp, found.idr) == (0.75, 0.75, 0.75)
    assert (found.switches, found.ids, found.people, found.sights) == (1, 2, 1, 4)


def test_an_id_of_two_people_is_of_one_of_them():
    found = identity_figures([("anna", 1), ("anna", 1), ("ben", 1)])
    assert found.idf1 == pytest.approx(2 * 2 / 6)
    assert found.switches == 0


def test_who_got_no_id_costs_recall_alone():
    found = identity_figures([("anna", 1), ("anna", None)])
    assert (found.idp, found.idr, found.switches) == (1.0, 0.5, 0)


def test_nobody_at_all_is_no_error():
    assert identity_figures([]).idf1 == 0.0
    assert identity_figures([("anna", None)]).idf1 == 0.0


def test_figures_are_those_of_motmetrics():
    rng = np.random.default_rng(0)
    moments = []
    for _ in range(60):
        people = rng.choice(12, 5, replace=False)
        ids = rng.permutation(20)[:5]
        kept = rng.random(5) < 0.7
        given = [
            int(p) if keep else int(100 + i) for p, i, keep in zip(people, ids, kept, strict=True)
        ]
        moments.append(
            [
                (int(p), g if rng.random() < 0.9 else None)
                for p, g in zip(people, given, strict=True)
            ]
        )
    accumulator = motmetrics.MOTAccumulator(auto_id=True)
    for moment in moments:
        told = [g for _, g in moment if g is not None]
        gaps = np.full((len(moment), len(told)), np.nan)
        for row, (_, g) in enumerate(moment):
            if g is not None:
                gaps[row, told.index(g)] = 0.0
        accumulator.update([p for p, _ in moment], told, gaps)
    theirs = motmetrics.metrics.create().compute(
        accumulator, metrics=["idf1", "idp", "idr", "num_switches"], return_dataframe=False
    )
    ours = identity_figures([pair for moment in moments for pair in moment])
    assert ours.idf1 == pytest.approx(theirs["idf1"])
    assert ours.idp == pytest.approx(theirs["idp"])
    assert ours.idr == pytest.approx(theirs["idr"])
    assert ours.switches == theirs["num_switches"]


def test_calibration_sets_what_was_said_beside_what_was_so():
    said = [(0.92, True), (0.94, False), (0.55, True), (1.0, True)]
    low, high, highest = calibration(said)
    assert (low.count, low.stated, low.right) == (1, 0.55, 1.0)
    assert (high.count, high.stated, high.right) == (2, pytest.approx(0.93), 0.5)
    assert (highest.count, highest.right) == (1, 1.0)
