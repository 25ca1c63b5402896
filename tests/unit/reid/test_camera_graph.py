from __future__ import annotations

import numpy as np
import pytest

from services.reid.core.camera_graph import CameraGraph, GraphSettings
from services.reid.core.overlap import Overlap, Stand, together

SETTINGS = GraphSettings()


def stand(time_s: float, x: float = 100.0, y: float = 200.0) -> Stand:
    return Stand(time_s, x, y, 80.0)


def test_before_anything_is_learnt_anybody_may_come_from_anywhere():
    graph = CameraGraph()
    graph.see("anna", "gate", [stand(0.0)])
    graph.see("ben", "door", [stand(500.0)])
    chances = graph.chances("yard", 600.0)
    assert chances.of == {"anna": SETTINGS.known, "ben": SETTINGS.known}
    assert (chances.others, chances.nobody) == (SETTINGS.known, SETTINGS.nobody)
    assert chances.odds("anna") == pytest.approx(0.05 / 0.95)


def walked(graph: CameraGraph, times: int, after_s: float) -> None:
    """So many people, one at a time, from the gate to the door."""
    for n in range(times):
        start_s = 10_000.0 * n
        graph.known += 1
        graph.see(f"walker {n}", "gate", [stand(start_s)])
        graph.learn("door", start_s + after_s, {f"walker {n}": 1.0})


def test_travel_times_are_learnt_from_who_came():
    graph = CameraGraph()
    walked(graph, 30, after_s=10.0)
    assert graph.travel_times("gate", "door") == {16.0: 30.0}
    now_s = 1_000_000.0
    graph.see("soon", "gate", [stand(now_s)])
    chances = graph.chances("door", now_s + 12.0)
    common = (30 + SETTINGS.common_weight * SETTINGS.known) / (30 + SETTINGS.common_weight)
    assert chances.of["soon"] == pytest.approx(
        (30 + SETTINGS.pair_weight * common) / (30 + SETTINGS.pair_weight)
    )
    assert graph.chances("door", now_s + 100.0).of["soon"] == SETTINGS.known, "never seen so far"


def test_who_was_there_and_did_not_come_counts_against_those_like_them():
    graph = CameraGraph()
    for n in range(40):
        graph.see("idle", "gate", [stand(20.0 * n)])
        graph.learn("door", 20.0 * n + 5.0, {})
    chances = graph.chances("door", 785.0)
    assert chances.of["idle"] < SETTINGS.known / 3
    assert chances.nobody > SETTINGS.nobody


def test_a_verdict_teaches_as_much_as_it_is_believed():
    graph = CameraGraph()
    graph.see("anna", "gate", [stand(0.0)])
    graph.learn("door", 10.0, {"anna": 0.25})
    assert graph.travel_times("gate", "door") == {16.0: 0.25}


def test_nobody_appears_where_they_are_seen_already():
    graph = CameraGraph()
    graph.see("anna", "door", [stand(0.0), stand(10.0)])
    assert "anna" not in graph.chances("door", 5.0).of
    assert "anna" in graph.chances("door", 11.0).of


def test_who_is_in_two_pictures_at_once_is_a_way_of_coming_too():
    graph = CameraGraph()
    for n in range(20):
        graph.see(f"walker {n}", "gate", [stand(10_000.0 * n), stand(10_000.0 * n + 8.0)])
        graph.learn("door", 10_000.0 * n + 4.0, {f"walker {n}": 1.0})
    assert graph.travel_times("gate", "door") == {0.0: 20.0}


def plane(x, y):
    """From one picture to the other: as two cameras see one square."""
    depth = 1.0 + 0.0008 * y + 0.0002 * x
    return (0.9 * x + 0.3 * y + 50) / depth, (0.1 * x + 0.8 * y + 20) / depth


def walk(rng, offset: bool) -> tuple[list[Stand], list[Stand]]:
    """A person in both pictures; offset: it is somebody else whom the other one sees."""
    x, y = rng.uniform(0, 1200), rng.uniform(100, 700)
    step = rng.normal(0, 30, 2)
    path = [(n / 2, x + step[0] * n, y + step[1] * n) for n in range(6)]
    there = [Stand(t, a, b, 150.0) for t, a, b in path]
    aside = rng.uniform(-400, 400, 2) if offset else (0.0, 0.0)
    here = []
    for t, a, b in path:
        u, v = plane(a, b)
        u, v = np.array([u, v]) + aside + rng.normal(0, 8, 2)
        here.append(Stand(t, float(u), float(v), 150.0))
    return there, here


def test_an_overlap_is_learnt_though_two_in_five_were_mistaken():
    rng = np.random.default_rng(3)
    overlap = Overlap()
    for n in range(60):
        overlap.learn(together(*walk(rng, offset=n % 5 < 2)), 0.6, rng)
    right = [overlap.evidence(together(*walk(rng, offset=False))) for _ in range(50)]
    wrong = [overlap.evidence(together(*walk(rng, offset=True))) for _ in range(50)]
    assert np.median(right) > 5
    assert np.median(wrong) < 0.1


def test_views_that_share_nothing_say_nothing():
    rng = np.random.default_rng(4)
    overlap = Overlap()
    for _ in range(60):
        overlap.learn(together(*walk(rng, offset=True)), 0.6, rng)
    assert overlap.evidence(together(*walk(rng, offset=False))) == 1.0


@pytest.mark.parametrize("seed", range(12))
def test_places_through_which_no_plane_goes_are_borne(seed):
    """Few, in a line, or all the same, at the corner of a picture; some believed far more."""
    rng = np.random.default_rng(seed)
    few = rng.integers(0, 4, (rng.integers(1, 7), 4)) * rng.choice([0.0, 1.0, 100.0])
    places = np.column_stack([few, np.full(len(few), 150.0)])
    overlap = Overlap()
    for belief in rng.choice([1e-9, 0.5, 1.0], 20):
        overlap.learn(rng.choice(places, 2), float(belief), rng)
        assert np.isfinite(overlap.evidence(places))


def test_places_are_compared_at_the_same_moments():
    there = [Stand(0.0, 0, 0, 10), Stand(1.0, 10, 20, 10), Stand(9.0, 99, 99, 10)]
    here = [Stand(-1.0, 1, 1, 5), Stand(0.5, 2, 2, 6), Stand(1.0, 3, 3, 7), Stand(5.0, 4, 4, 8)]
    assert together(there, here).tolist() == [[5, 10, 2, 2, 6], [10, 20, 3, 3, 7]]
    assert together(there, []).shape == together([], here).shape == (0, 5)


def test_the_graph_tells_people_who_look_alike_by_where_they_stand():
    rng = np.random.default_rng(5)
    graph = CameraGraph()
    for n in range(40):
        there, here = walk(rng, offset=False)
        graph.see(f"walker {n}", "gate", [Stand(100 * n + s.time_s, s.x, s.y, 150) for s in there])
        later = [Stand(100 * n + s.time_s, s.x, s.y, 150) for s in here]
        graph.see(f"walker {n}", "door", later, belief=0.9)
    (there, here), (other, _) = walk(rng, offset=False), walk(rng, offset=False)
    graph.see("anna", "gate", [Stand(9000 + s.time_s, s.x, s.y, 150) for s in there])
    graph.see("twin", "gate", [Stand(9000 + s.time_s, s.x, s.y, 150) for s in other])
    stands = [Stand(9000 + s.time_s, s.x, s.y, 150) for s in here]
    chances = graph.chances("door", 9000.0)
    assert chances.of["anna"] == chances.of["twin"]
    placed = graph.placed(chances, "door", stands)
    assert placed.of["anna"] > 20 * placed.of["twin"]
