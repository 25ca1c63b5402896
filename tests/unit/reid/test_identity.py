from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from services.reid.core.camera_graph import Chances
from services.reid.core.identity import (
    Appearance,
    Belief,
    Candidate,
    IdentitySettings,
    Stranger,
    agreed,
    continued,
    recognised,
    ripe,
)
from services.reid.core.looks import Looks
from services.reid.core.tracking import Step
from shared.messages import Box

SETTINGS = IdentitySettings(dressed_alike=0.0)
BELIEF = Belief(slope=20.0, offset=-10.0)


def unit(*values: float):
    vector = np.zeros(256, np.float32)
    vector[: len(values)] = values
    return vector / np.linalg.norm(vector)


def walk(start_s: float, x: float, speed: float = 15.0, looks: int = 4, vector=None) -> Appearance:
    """A person 60 pixels tall who walks to the right, seen every 0.8 s."""
    steps = tuple(
        Step(start_s + 0.8 * n, Box(x=x + speed * 0.8 * n, y=100, width=20, height=60))
        for n in range(looks)
    )
    return Appearance(steps, Looks(unit(1) if vector is None else vector, 0.8))


def test_who_walks_on_is_the_same_person():
    trail = walk(0, x=100)
    assert continued([trail], [walk(3.2, x=148)], SETTINGS) == {0: 0}


def test_two_who_walk_side_by_side_keep_their_tracks():
    trails = [walk(0, x=100), walk(0, x=160)]
    found = [walk(3.2, x=208), walk(3.2, x=148)]
    assert continued(trails, found, SETTINGS) == {0: 1, 1: 0}


def test_nobody_jumps_across_the_frame():
    assert continued([walk(0, x=10)], [walk(3.2, x=300)], SETTINGS) == {}


def test_who_comes_too_late_is_not_taken_for_who_left():
    assert continued([walk(0, x=100)], [walk(9.0, x=148)], SETTINGS) == {}


def test_somebody_who_looks_quite_different_is_not_the_same():
    other = walk(3.2, x=148, vector=unit(-1))
    assert continued([walk(0, x=100)], [other], SETTINGS) == {}


def stranger(*beside: str, **similarities: float) -> Stranger:
    """One tracklet of each person, so much alike."""
    found = [Candidate(person, similarity) for person, similarity in similarities.items()]
    return Stranger(found, frozenset(beside))


def names(strangers) -> list[str | None]:
    return [verdict.person_id for verdict in recognised(strangers, BELIEF, SETTINGS)]


def test_a_sure_likeness_is_recognised_and_a_faint_one_is_not():
    sure, faint = recognised([stranger(anna=0.8), stranger(ben=0.3)], BELIEF, SETTINGS)
    assert (sure.person_id, faint.person_id) == ("anna", None)
    assert sure.belief == pytest.approx(BELIEF(0.8))
    assert faint.belief == pytest.approx(1 - BELIEF(0.3)), "how sure it is that nobody knows them"


def test_two_strangers_are_never_one_person():
    both = names([stranger(anna=0.9, ben=0.6), stranger(anna=0.85)])
    assert both in (["anna", None], ["ben", "anna"])


def test_the_best_pairs_over_all_are_taken_not_the_first():
    assert names([stranger(anna=0.80, ben=0.78), stranger(anna=0.82, ben=0.40)]) == ["ben", "anna"]


def test_nobody_is_who_stands_beside_them():
    assert names([stranger("anna", anna=0.95)]) == [None]


def test_one_lucky_crop_makes_nobody_somebody_else():
    lucky = [Candidate("anna", 0.7), Candidate("anna", 0.2), Candidate("anna", 0.2)]
    steady = [Candidate("ben", 0.6)] * 5
    assert names([Stranger(lucky)]) == [None]
    assert names([Stranger([*lucky, *steady])]) == ["ben"]


@pytest.mark.parametrize(
    ("sights", "quality", "enough"), [(4, 0.6, True), (3, 0.6, False), (9, 0.4, False)]
)
def test_a_track_is_judged_when_it_has_shown_enough_of_itself(sights, quality, enough):
    assert ripe(Looks(unit(1), quality), sights, SETTINGS) is enough


def test_belief_grows_with_likeness():
    beliefs = [BELIEF(similarity) for similarity in np.linspace(-1, 1, 9)]
    assert beliefs == sorted(beliefs)
    assert BELIEF(0.5) == pytest.approx(0.5)


def exact(odds) -> np.ndarray:
    """By all ways to pair strangers and persons."""
    total, beliefs = 0.0, np.zeros_like(odds)
    ways = product(range(-1, odds.shape[1]), repeat=odds.shape[0])
    for way in ways:
        taken = [column for column in way if column >= 0]
        if len(set(taken)) == len(taken):
            weight = math.prod(odds[row, column] for row, column in enumerate(way) if column >= 0)
            total += weight
            for row, column in enumerate(way):
                if column >= 0:
                    beliefs[row, column] += weight
    return beliefs / total


@pytest.mark.parametrize(
    "odds",
    [
        [[3.0]],
        [[3.0, 0.5, 8.0]],
        [[400.0], [150.0]],
        [[400.0, 270.0], [600.0, 0.1]],
        [[1.0, 2.0, 0.3], [0.5, 5.0, 4.0], [0.0, 2.0, 9.0]],
    ],
    ids=["one", "one of three", "two for one", "one makes room", "three for three"],
)
def test_beliefs_that_exclude_each_other_are_those_of_all_ways_to_pair(odds):
    odds = np.array(odds)
    assert agreed(odds) == pytest.approx(exact(odds), abs=0.06)


def test_beliefs_in_nobody_or_one_are_exact():
    assert agreed(np.array([[3.0, 1.0]])) == pytest.approx(np.array([[0.6, 0.2]]))
    assert agreed(np.zeros((2, 0))).shape == (2, 0)


def test_no_likeness_is_surer_than_people_dressed_alike_allow():
    assert BELIEF.evidence(0.5) == pytest.approx(19.0), "even odds, where one in twenty is"
    assert BELIEF.evidence(0.99, dressed_alike=0.02) == pytest.approx(50.0, rel=0.01)
    assert BELIEF.evidence(0.0, dressed_alike=0.02) < 0.01


def test_time_and_place_speak_where_looks_do_not():
    chances = Chances({"anna": 0.3, "twin": 0.001}, others=0.001, nobody=0.5)
    stranger = Stranger([Candidate("anna", 0.6), Candidate("twin", 0.62)], chances=chances)
    (verdict,) = recognised([stranger], BELIEF, IdentitySettings())
    assert verdict.person_id == "anna"
    assert verdict.beliefs["anna"] > 0.9 > 0.1 > verdict.beliefs["twin"]


def test_between_two_known_people_the_likelier_one_is_taken_however_unsure():
    (verdict,) = recognised([stranger(anna=0.8, ben=0.79)], BELIEF, SETTINGS)
    assert verdict.person_id == "anna"
    assert 0.5 < verdict.belief < 0.6
