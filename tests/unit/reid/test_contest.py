"""Which of two models is to serve, by the same queries to the same gallery."""

from __future__ import annotations

import numpy as np
import pytest

from services.reid.core.contest import contest, gain_over
from services.reid.core.evaluation import Ranking

PEOPLE = np.repeat(np.arange(30), 2)


def ranking(precisions) -> Ranking:
    precisions = np.asarray(precisions, np.float64)
    first = np.where(precisions > 0.5, 1, 3)
    return Ranking(PEOPLE, first, precisions, precisions, gallery=90)


def test_a_gain_that_other_people_would_give_too_wins():
    rng = np.random.default_rng(0)
    before = rng.uniform(0.2, 0.6, 60)
    found = contest(ranking(before), ranking(before + rng.uniform(0.0, 0.2, 60)))
    assert found.is_won
    assert 0 < found.gain.low < found.gain.mean < found.gain.high
    assert found.gain.mean == pytest.approx(found.candidate.map - found.serving.map)
    assert (found.people, found.queries, found.made_gain) == (30, 60, None)


def test_a_gain_of_one_person_s_queries_does_not_win():
    before = np.full(60, 0.4)
    after = before.copy()
    after[:2] = 1.0
    found = contest(ranking(before), ranking(after))
    assert found.gain.mean > 0
    assert not found.is_won
    assert "might be no better" in found.faults[0]


def test_queries_of_one_person_stand_or_fall_together():
    by_person = np.repeat(np.random.default_rng(1).uniform(-0.3, 0.3, 30), 2)
    gain = gain_over(ranking(np.full(60, 0.5)), ranking(0.5 + by_person))
    deviation = by_person.std() / np.sqrt(30)
    assert gain.high - gain.low == pytest.approx(2 * 1.96 * deviation, rel=0.1)


def test_made_data_is_judged_by_the_same_training_without_it():
    serving, without = ranking(np.full(60, 0.3)), ranking(np.linspace(0.5, 0.6, 60))
    found = contest(serving, ranking(np.linspace(0.45, 0.55, 60)), without)
    assert found.is_won
    assert found.made_gain.high < 0


def test_other_queries_are_no_contest():
    other = Ranking(PEOPLE[:10], *[np.ones(10)] * 3, gallery=90)
    with pytest.raises(ValueError, match="same queries"):
        gain_over(ranking(np.ones(60)), other)
