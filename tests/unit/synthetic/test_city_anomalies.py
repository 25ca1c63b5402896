from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.synthetic.city import AnomalyKind, City, CityPlan
from services.synthetic.city.people.walkers import LANE_HALF_M, stepped_aside
from services.synthetic.city.presence import Obstacle

SEEDS = (0, 1, 2)


def city_of(seed, **more):
    return City(CityPlan(seed=seed, duration_s=125, **more))


@pytest.fixture(scope="module")
def cities():
    return {seed: city_of(seed) for seed in SEEDS}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_vehicle_is_on_a_walkway_before_the_time_that_was_asked_for(seed, cities):
    first = cities[seed].anomalies[0]
    assert first.kind is AnomalyKind.VEHICLE_ON_WALKWAY
    assert 10 <= first.start_s <= 18
    assert first.end_s > 16


@pytest.mark.parametrize("seed", SEEDS)
def test_every_kind_happens_within_two_minutes(seed, cities):
    assert {it.kind for it in cities[seed].anomalies if it.end_s <= 120} == set(AnomalyKind)


@pytest.mark.parametrize("seed", SEEDS)
def test_vehicles_are_visible_for_five_to_eight_seconds(seed, cities):
    for it in cities[seed].anomalies:
        if it.kind is AnomalyKind.VEHICLE_ON_WALKWAY:
            assert 5 <= it.end_s - it.start_s <= 8


def test_anomalies_are_spread_over_time_and_cameras(cities):
    for city in cities.values():
        starts = [it.start_s for it in city.anomalies]
        assert 6 <= len(starts) <= 9
        assert np.all(np.diff(starts) > 8)
        assert len({it.camera_id for it in city.anomalies}) >= 3


def test_two_anomalies_of_one_camera_never_overlap():
    busy = city_of(4, anomaly_every_s=4.0)
    for camera in busy.cameras:
        mine = [it for it in busy.anomalies if it.camera_id == camera.id]
        assert len(mine) > 2
        for before, after in pairwise(mine):
            assert before.end_s < after.start_s


def test_an_interval_begins_and_ends_where_the_truth_does(cities):
    city = cities[0]
    for it in city.anomalies:
        first, last = round(it.start_s * 10), round(it.end_s * 10)

        def visible(index, it=it, city=city):
            shown = city.truth(it.camera_id, index).anomalies
            return any(seen.kind is it.kind and seen.visible_fraction > 0 for seen in shown)

        assert visible(first)
        assert visible(last)
        assert not visible(first - 1)
        assert not visible(last + 1)
        assert it.covers(it.camera_id, first / 10)
        assert not it.covers(it.camera_id, (last + 1) / 10)


def test_nothing_goes_wrong_where_nothing_shall():
    city = City(CityPlan(seed=0, duration_s=60, fps=2, anomalies=False))
    assert city.anomalies == ()
    for camera in city.cameras:
        assert not any(city.truth(camera.id, index).anomalies for index in range(city.frames))


def test_other_seeds_have_other_anomalies(cities):
    assert len({city.anomalies for city in cities.values()}) == len(SEEDS)


def middles(city, it, step=1):
    """Frame -> middle of the anomaly's box, and its size."""
    found = {}
    for index in range(round(it.start_s * 10), round(it.end_s * 10) + 1, step):
        for seen in city.truth(it.camera_id, index).anomalies:
            box = seen.box
            found[index] = (box.x + box.width / 2, box.y + box.height / 2, box.width, box.height)
    return found


def of_kind(cities, kind):
    return [(city, it) for city in cities.values() for it in city.anomalies if it.kind is kind]


def stream_px(city, camera_id):
    """Mean shift along x, in pixels a second, of people of whom nothing is wrong."""
    shifts = []
    for index in range(0, 400, 10):
        before = {it.person_id: it.box for it in city.truth(camera_id, index).people}
        shifts += [
            10 * (it.box.x - before[it.person_id].x)
            for it in city.truth(camera_id, index + 1).people
            if it.person_id in before and 20 < it.box.x < 240
        ]
    return np.mean(shifts)


def test_who_goes_against_the_stream_does(cities):
    city, it = of_kind(cities, AnomalyKind.AGAINST_THE_STREAM)[0]
    track = list(middles(city, it).values())
    assert (track[-1][0] - track[0][0]) * stream_px(city, it.camera_id) < 0


def test_who_runs_is_much_faster_than_the_stream(cities):
    city, it = of_kind(cities, AnomalyKind.RUNNING)[0]
    track = list(middles(city, it).values())
    speed = (track[-1][0] - track[0][0]) / (it.end_s - it.start_s)
    assert speed / stream_px(city, it.camera_id) > 1.8


def test_what_was_left_behind_stays_where_it_is(cities):
    city, it = of_kind(cities, AnomalyKind.LEFT_BEHIND)[0]
    track = np.array(list(middles(city, it, step=10).values()))
    assert it.end_s - it.start_s > 8
    assert np.ptp(track[:, :2], axis=0).max() < 1.5


def test_who_falls_lies_flat_and_gets_up_again(cities):
    city, it = of_kind(cities, AnomalyKind.FALL)[0]
    track = middles(city, it)
    shapes = {index: height / width for index, (_, _, width, height) in track.items()}
    first, last = min(track), max(track)
    assert shapes[first] > 1.2
    assert min(shapes.values()) < 0.8
    assert shapes[last] > 1.2


@settings(deadline=None)
@given(
    u=st.floats(-12, 12),
    lane=st.floats(-LANE_HALF_M, LANE_HALF_M),
    v=st.sampled_from([-0.95, -0.4, 0.0, 0.4, 0.95]),
    clearance=st.sampled_from([0.7, 1.35]),
)
def test_people_step_aside_for_what_is_near_and_for_nothing_else(u, lane, v, clearance):
    stepped = stepped_aside(u, lane, Obstacle(0.0, v, 2.0, clearance))
    assert abs(stepped) <= LANE_HALF_M + 1e-9
    if abs(u) <= 2.0:
        assert abs(stepped - v) >= clearance - 1e-9
    if abs(u) >= 6.0:
        assert stepped == pytest.approx(lane)
    nearby = stepped_aside(u + 0.1, lane, Obstacle(0.0, v, 2.0, clearance))
    assert abs(nearby - stepped) < 0.15
