from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.reid.core.centring import centre_cameras
from services.reid.core.evaluation import JUNK, Labels, rank, trapezoid_precision
from services.reid.core.outcome import Outcome
from services.reid.core.reranking import Reranking, rerank


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


def fixed_case():
    """8 queries and 40 gallery images, with junk and distractors: vectors, people, cameras."""
    state, drawn = 2017, []
    for _ in range(58 * 6):
        state = (1_103_515_245 * state + 12_345) % 2**31
        drawn.append(state / 2**31 - 0.5)
    noise, centres = np.split(np.array(drawn).reshape(58, 6), [48])
    people = np.array([1, 2, 3, 4, 5, 6, 1, 2, *(n * 7 % 9 - 1 for n in range(40))])
    cameras = np.array([1, 2, 3, 1, 2, 3, 2, 3, *(n % 3 + 1 for n in range(40))])
    vectors = centres[people + 1] + 1.3 * noise
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), people, cameras


def test_a_fixed_case_gets_the_figures_that_public_programs_give_it():
    vectors, people, cameras = fixed_case()
    found = rank(
        vectors[:8] @ vectors[8:].T,
        labels(people[:8], cameras[:8]),
        labels(people[8:], cameras[8:]),
    )
    # torchreid 1.4, metrics/rank.py, eval_market1501 (junk taken out beforehand, as it does).
    assert [found.rank(k) for k in (1, 5, 10, 20)] == [0.375, 0.875, 1.0, 1.0]
    assert found.mean_average_precision == pytest.approx(0.35262055526773084)
    # layumi/Person_reID_baseline_pytorch, evaluate_gpu.py, a port of Market-1501's own program.
    assert found.trapezoids.mean() == pytest.approx(0.3020842757158892)
    assert found.queries == 8


def test_a_fixed_case_is_reranked_as_the_public_program_does():
    vectors, people, cameras = fixed_case()
    query, gallery = np.split(np.arange(48)[people != JUNK], [8])
    settings = Reranking(neighbours=6, averaged=3, own=0.3)
    similarity = rerank(vectors[query], vectors[gallery], settings)
    # Zhong et al.'s re_ranking (the Python version of torchreid 1.4) in single precision.
    first = [0.84465486, 0.8785946, 0.6748513, 0.89879996, 0.9524746, 0.8474702]
    last = [0.7282448, 0.8705006, 0.45187837, 0.46619427]
    assert np.allclose(-similarity[0, :6], first, atol=1e-6)
    assert np.allclose(-similarity[7, -4:], last, atol=1e-6)
    assert -similarity.sum() == pytest.approx(217.99622, abs=1e-3)
    found = rank(
        similarity,
        labels(people[query], cameras[query]),
        labels(people[gallery], cameras[gallery]),
    )
    assert found.mean_average_precision == pytest.approx(0.351646294667047)


def naive_rerank(vectors, asking, settings):
    """The paper, one pair and one set at a time."""
    count = len(vectors)
    k1, k2 = settings.neighbours, settings.averaged
    d = np.array([[max(0.0, 2 - 2 * float(a @ b)) for b in vectors] for a in vectors])
    d /= d.max(axis=1, keepdims=True)
    order = [sorted(range(count), key=lambda j, i=i: d[i][j]) for i in range(count)]

    def reciprocal(i, k):
        return {j for j in order[i][: k + 1] if i in order[j][: k + 1]}

    v = np.zeros((count, count))
    for i in range(count):
        found = reciprocal(i, k1)
        extended = set(found)
        for j in found:
            theirs = reciprocal(j, round(k1 / 2))
            if len(theirs & found) > 2 / 3 * len(theirs):
                extended |= theirs
        total = sum(np.exp(-d[i][j]) for j in extended)
        for j in extended:
            v[i, j] = np.exp(-d[i][j]) / total
    averaged = np.array([np.mean([v[j] for j in order[i][:k2]], axis=0) for i in range(count)])
    final = np.zeros((asking, count - asking))
    for i in range(asking):
        for j in range(asking, count):
            minima = sum(min(a, b) for a, b in zip(averaged[i], averaged[j], strict=True))
            maxima = sum(max(a, b) for a, b in zip(averaged[i], averaged[j], strict=True))
            final[i, j - asking] = (1 - settings.own) * (1 - minima / maxima)
            final[i, j - asking] += settings.own * d[i][j]
    return -final


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    neighbours=st.integers(2, 12),
    averaged=st.integers(1, 5),
    own=st.floats(0, 1),
)
def test_reranking_agrees_with_naive_loops(seed, neighbours, averaged, own):
    vectors = np.random.default_rng(seed).normal(size=(24, 5))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    chosen = Reranking(neighbours=neighbours, averaged=averaged, own=own)
    found = rerank(vectors[:5], vectors[5:], chosen)
    assert np.allclose(found, naive_rerank(vectors, 5, chosen), atol=1e-9)


def test_fewer_images_than_neighbours_can_be_reranked_too():
    vectors = np.eye(4)
    found = rerank(vectors[:1], vectors[1:], Reranking())
    assert found.shape == (1, 3)
    assert np.isfinite(found).all()


def test_a_camera_that_colours_everybody_alike_no_longer_hides_who_is_who():
    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(20), 2)
    cameras = np.tile([1, 2], 20)
    looks, tint = rng.normal(size=(20, 16)), rng.normal(size=(2, 16)) * 4
    vectors = looks[people] + tint[cameras - 1]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    centred = centre_cameras(vectors, cameras)
    asks = cameras == 1

    def rank_1(of_all):
        query, gallery = (labels(people[part], cameras[part]) for part in (asks, ~asks))
        return rank(of_all[asks] @ of_all[~asks].T, query, gallery).rank(1)

    assert rank_1(centred) > rank_1(vectors) + 0.3
    assert np.allclose(np.linalg.norm(centred, axis=1), 1)


def test_a_cameras_only_vector_is_left_as_it_is():
    vectors = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    centred = centre_cameras(vectors, np.array([1, 2, 2]))
    assert np.allclose(centred[0], vectors[0])
    assert np.allclose(centred[1], -centred[2])


def test_trapezoids_are_exact_on_a_case_by_hand():
    right = np.array([False, True, False, True])
    assert trapezoid_precision(right) == pytest.approx(((0 + 1 / 2) / 2 + (1 / 3 + 2 / 4) / 2) / 2)
    assert trapezoid_precision(np.array([True, True])) == 1.0


def test_trials_are_averaged_and_their_deviation_told():
    rankings = [
        rank(np.array([row]), labels([1], [1]), labels([1, 2], [2, 2]))
        for row in ([0.9, 0.1], [0.1, 0.9])
    ]
    outcome = Outcome(rankings)
    assert outcome.rank(1) == outcome.figures["rank1"] == 0.5
    assert outcome.mean_average_precision == 0.75
    spread = outcome.spread(np.random.default_rng(0))
    assert spread["map_sd"] == pytest.approx(np.std([0.5, 1.0], ddof=1))


def test_the_interval_of_one_trial_holds_the_figure_and_is_as_wide_as_its_people_are_few():
    widths = []
    for people in (20, 320):
        rng = np.random.default_rng(people)
        names = np.arange(people)
        similarity = np.eye(people) + rng.normal(0, 0.4, (people, people))
        ranking = rank(similarity, labels(names, names * 0), labels(names, names * 0 + 1))
        outcome = Outcome([ranking])
        spread = outcome.spread(np.random.default_rng(0))
        assert spread["rank1_low"] < outcome.rank(1) < spread["rank1_high"]
        widths.append(spread["rank1_high"] - spread["rank1_low"])
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.4)


def test_queries_of_one_person_stand_or_fall_together():
    names = np.repeat(np.arange(8), 25)
    similarity = np.where(np.arange(8)[None, :] == names[:, None], 1.0, 0.0)
    similarity[names < 4, 7] = 2.0  # half of the people are always mistaken
    ranking = rank(similarity, labels(names, names * 0), labels(np.arange(8), np.ones(8)))
    spread = Outcome([ranking]).spread(np.random.default_rng(0))
    assert ranking.rank(1) == 0.5
    assert spread["rank1_high"] - spread["rank1_low"] > 0.5
