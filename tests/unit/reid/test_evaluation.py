from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.reid.core.evaluation import JUNK, Labels, mean_of, rank


def labels(people, cameras):
    return Labels(np.array(people), np.array(cameras))


def naive(similarity, query, gallery):
    """As the protocol reads: one query at a time, one answer at a time."""
    first_hits, precisions = [], []
    for q in range(len(query.people)):
        answers = sorted(range(len(gallery.people)), key=lambda g: -similarity[q, g])
        position, found, at_hits, first = 0, 0, [], None
        for g in answers:
            same = gallery.people[g] == query.people[q]
            if gallery.people[g] == JUNK or (same and gallery.cameras[g] == query.cameras[q]):
                continue
            position += 1
            if same:
                found += 1
                at_hits.append(found / position)
                first = first or position
        if first is not None:
            first_hits.append(first)
            precisions.append(sum(at_hits) / len(at_hits))
    cmc = [sum(first <= k for first in first_hits) / len(first_hits) for k in (1, 2, 3)]
    return cmc, sum(precisions) / len(precisions), len(first_hits)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), people=st.integers(2, 5))
def test_it_agrees_with_a_naive_reading_of_the_protocol(seed, people):
    rng = np.random.default_rng(seed)
    query = labels(rng.integers(0, people, 6), rng.integers(0, 3, 6))
    gallery = labels(rng.integers(-1, people, 20), rng.integers(0, 3, 20))
    gallery.people[:2], gallery.cameras[:2] = query.people[0], (query.cameras[0] + 1) % 3
    similarity = rng.permutation(120).reshape(6, 20) / 120
    found = rank(similarity, query, gallery)
    cmc, precision, queries = naive(similarity, query, gallery)
    assert [found.rank(k) for k in (1, 2, 3)] == pytest.approx(cmc)
    assert found.mean_average_precision == pytest.approx(precision)
    assert found.queries == queries


def test_the_same_view_of_the_person_is_neither_right_nor_wrong():
    similarity = np.array([[0.9, 0.8, 0.7]])
    ranking = rank(similarity, labels([1], [1]), labels([1, 1, 2], [1, 2, 2]))
    assert ranking.rank(1) == 1.0
    assert ranking.mean_average_precision == 1.0


def test_a_distractor_before_the_right_answer_costs_rank_1():
    ranking = rank(np.array([[0.9, 0.8]]), labels([1], [1]), labels([0, 1], [2, 2]))
    assert (ranking.rank(1), ranking.rank(5)) == (0.0, 1.0)
    assert ranking.mean_average_precision == 0.5


def test_queries_that_cannot_be_answered_at_all_are_an_error():
    with pytest.raises(ValueError, match="another camera"):
        rank(np.array([[0.9]]), labels([1], [1]), labels([1], [1]))


def test_repetitions_are_averaged():
    rankings = [
        rank(np.array([row]), labels([1], [1]), labels([1, 2], [2, 2]))
        for row in ([0.9, 0.1], [0.1, 0.9])
    ]
    assert mean_of(rankings).rank(1) == 0.5
    assert mean_of(rankings).mean_average_precision == 0.75
