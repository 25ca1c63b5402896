from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from services.synthetic.city import City, CityPlan
from shared.errors import Invalid, Missing

PLAN = CityPlan(seed=7, duration_s=40)
ASKED = (("city-3", 200), ("city-1", 0), ("city-4", 399), ("city-2", 123))

ELSEWHERE = """
import hashlib, sys
from services.synthetic.city import City, CityPlan
city = City(CityPlan(seed=7, duration_s=40))
for word in sys.argv[1:]:
    camera_id, index = word.split(":")
    print(hashlib.sha256(city.frame(camera_id, int(index)).tobytes()).hexdigest())
"""


def digests(city, asked):
    return [hashlib.sha256(city.frame(*one).tobytes()).hexdigest() for one in asked]


def test_a_frame_is_the_same_whatever_was_asked_before():
    forwards = digests(City(PLAN), ASKED)
    backwards = digests(City(PLAN), ASKED[::-1])
    assert forwards == backwards[::-1]
    assert len(set(forwards)) == len(ASKED)


def test_a_frame_is_the_same_in_another_process():
    words = [f"{camera_id}:{index}" for camera_id, index in ASKED]
    run = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, *words], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == digests(City(PLAN), ASKED)


def test_frames_are_rgb_of_the_planned_size():
    city = City(CityPlan(seed=1, duration_s=2, cameras=1, width=160, height=120))
    frame = city.frame("city-1", 3)
    assert frame.shape == (120, 160, 3)
    assert frame.dtype == np.uint8


def test_who_changes_a_frame_does_not_change_the_city():
    city = City(PLAN)
    city.frame("city-1", 5)[:] = 0
    assert city.frame("city-1", 5).mean() > 30


def test_another_seed_brings_other_people_to_the_same_streets():
    one, other = City(PLAN), City(CityPlan(seed=8, duration_s=40))
    assert one.people[0] != other.people[0]
    assert [it.site for it in one.cameras] == [it.site for it in other.cameras]
    nobody = [
        City(CityPlan(seed=seed, duration_s=5, people_per_minute=0, anomalies=False))
        for seed in (7, 8)
    ]
    # No road runs through the shopping street: without people, seeds make no difference there.
    assert np.array_equal(nobody[0].frame("city-1", 20), nobody[1].frame("city-1", 20))


def test_another_scenery_seed_brings_other_streets_with_the_same_people():
    one, other = City(PLAN), City(CityPlan(seed=7, duration_s=40, scenery_seed=3))
    assert one.people == other.people
    assert one.cameras[0].viewpoint != other.cameras[0].viewpoint


def test_an_empty_street_is_never_quite_still():
    city = City(CityPlan(seed=1, duration_s=20, people_per_minute=0, anomalies=False))
    for camera in city.cameras:
        first, later = (city.frame(camera.id, index).astype(int) for index in (0, 17))
        change = np.abs(first - later)
        assert 0.5 < change.mean() < 8


@pytest.mark.parametrize("asked", [("city-9", 0), ("city-1", -1), ("city-1", 400)])
def test_what_is_not_in_the_plan_is_missing(asked):
    with pytest.raises(Missing):
        City(PLAN).frame(*asked)


def test_a_plan_names_all_its_faults():
    with pytest.raises(Invalid) as caught:
        CityPlan(seed=-1, duration_s=10, cameras=99)
    assert {fault.field for fault in caught.value.faults} == {"seed", "cameras"}


@pytest.mark.parametrize("cameras", [1, 5])
def test_cameras_stand_apart_around_the_block(cameras):
    city = City(CityPlan(seed=1, duration_s=1, cameras=cameras, width=64, height=48))
    places = np.array([camera.position for camera in city.cameras])
    assert len({camera.name for camera in city.cameras}) == cameras
    for n, place in enumerate(places):
        others = np.delete(places, n, axis=0)
        assert (np.linalg.norm(others - place, axis=1) > 1).all()
