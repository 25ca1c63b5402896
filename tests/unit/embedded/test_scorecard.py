from __future__ import annotations

import pytest

from services.embedded.scorecard import (
    RaisedAlert,
    Rectangle,
    SeenPerson,
    TruePerson,
    judge_alerts,
    judge_trajectories,
    looked_at,
)
from services.synthetic.city.truth import AnomalyInterval, AnomalyKind


def anomaly(camera: str, start: float, end: float) -> AnomalyInterval:
    return AnomalyInterval(camera, AnomalyKind.FALL, start, end)


def alert(camera: str, start: float, end: float, opened: float | None = None) -> RaisedAlert:
    return RaisedAlert(camera, start, end, end if opened is None else opened)


def test_an_alert_is_true_while_an_anomaly_is_in_its_camera_s_picture():
    figures = judge_alerts(
        [alert("a", 11, 15, 14), alert("b", 11, 15), alert("a", 40, 42)],
        [anomaly("a", 10, 16), anomaly("a", 60, 65)],
        until_s=70,
    )
    assert (figures.raised, figures.true, figures.found) == (3, 1, 1)
    assert figures.precision == pytest.approx(1 / 3)
    assert figures.recall == 0.5
    assert figures.mean_delay_s == pytest.approx(4)


def test_what_has_not_begun_yet_is_not_missed():
    figures = judge_alerts([], [anomaly("a", 10, 16), anomaly("a", 60, 65)], until_s=30)
    assert (figures.anomalies, figures.recall, figures.mean_delay_s) == (1, 0.0, None)


def at(x: float) -> Rectangle:
    return Rectangle(x, 0, 10, 30)


def people(*found: tuple[int, float], visible: float = 1.0):
    return [TruePerson(person, at(x), visible) for person, x in found]


def seen(*found: tuple[str, float]):
    return [SeenPerson(person, at(x)) for person, x in found]


LOOKS = [("a", 0.0), ("a", 1.0), ("b", 2.0)]


def test_who_is_the_same_everywhere_is_a_perfect_trajectory():
    truth = {look: people((1, 0), (2, 50)) for look in LOOKS}
    found = {look: seen(("anna", 0), ("ben", 51)) for look in LOOKS}
    figures = judge_trajectories(LOOKS, truth, found)
    assert (figures.idf1, figures.switches, figures.crossings) == (1.0, 0, 2)
    assert (figures.people, figures.looks) == (2, 3)


def test_an_id_that_changes_between_cameras_costs_idf1_and_crosses_nothing():
    truth = {look: people((1, 0)) for look in LOOKS}
    found = {
        LOOKS[0]: seen(("anna", 0)),
        LOOKS[1]: seen(("anna", 0)),
        LOOKS[2]: seen(("ben", 0)),
    }
    figures = judge_trajectories(LOOKS, truth, found)
    assert figures.idf1 == pytest.approx(2 / 3)
    assert (figures.switches, figures.crossings) == (1, 0)


def test_two_people_under_one_id_are_no_true_crossing():
    truth = {("a", 0.0): people((1, 0)), ("b", 2.0): people((2, 0))}
    found = {look: seen(("anna", 0)) for look in truth}
    assert judge_trajectories(list(truth), truth, found).crossings == 0


def test_the_hidden_are_neither_missed_nor_false():
    look = ("a", 0.0)
    truth = {look: people((1, 0)) + people((2, 50), visible=0.1)}
    missed = judge_trajectories([look], truth, {look: seen(("anna", 0))})
    found = judge_trajectories([look], truth, {look: seen(("anna", 0), ("ben", 50))})
    assert missed.recall == found.recall == 1.0
    assert found.precision == 1.0


def test_nothing_found_scores_nothing():
    figures = judge_trajectories(LOOKS, {look: people((1, 0)) for look in LOOKS}, {})
    assert (figures.idf1, figures.recall, figures.crossings) == (0.0, 0.0, 0)


def test_people_are_looked_for_in_every_fourth_frame():
    frames = [n / 5 for n in range(10)]
    assert looked_at(frames, [], every=4) == [0.0, 0.8, 1.6]
    assert looked_at(frames, [0.8], every=4) == [0.0, 0.8, 1.6]
    assert looked_at([], [], every=4) == []


def test_a_clip_that_was_cut_short_begins_the_count_anew():
    """Twelve frames, of which the first clip owns six: looked at are 0 and 4, then 6 and 10."""
    frames = [float(n) for n in range(12)]
    assert looked_at(frames, [4.0, 6.0], every=4) == [0.0, 4.0, 6.0, 10.0]
    assert looked_at(frames, [6.0], every=4) == [2.0, 6.0, 10.0]
