from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest

from services.synthetic.city import City, CityPlan
from services.synthetic.city.chance import stream
from services.synthetic.city.people.wardrobe import Wardrobe, outfit_distance

FPS = 4.0


@pytest.fixture(scope="module")
def city():
    return City(CityPlan(seed=11, duration_s=90, fps=FPS, anomalies=False))


@pytest.fixture(scope="module")
def seen(city):
    """Person -> (frame, camera id, truth), in order."""
    sights = defaultdict(list)
    for index in range(city.frames):
        for camera in city.cameras:
            for person in city.truth(camera.id, index).people:
                sights[person.person_id].append((index, camera.id, person))
    return sights


def whole(person):
    box = person.box
    upright = box.x > 0 and box.y > 0 and box.x + box.width < 320 and box.y + box.height < 240
    return upright and person.visible_fraction > 0.3


def test_people_who_are_wholly_in_view_are_45_to_110_pixels_tall(seen):
    heights = [it.box.height for sights in seen.values() for _, _, it in sights if whole(it)]
    assert len(heights) > 1000
    assert np.percentile(heights, 1) >= 45
    assert np.percentile(heights, 99) <= 110


def test_most_people_pass_several_cameras(seen, city):
    cameras = [len({camera for _, camera, _ in sights}) for sights in seen.values()]
    assert np.mean(np.array(cameras) >= 2) > 0.7
    assert max(cameras) == len(city.cameras)


def test_nobody_is_in_two_places_at_once(seen):
    for sights in seen.values():
        indices = [index for index, _, _ in sights]
        assert len(indices) == len(set(indices))


def test_a_few_seconds_pass_between_two_cameras(seen):
    gaps = [
        (after - before) / FPS
        for sights in seen.values()
        for (before, here, _), (after, there, _) in pairwise(sights)
        if here != there
    ]
    assert len(gaps) > 50
    assert min(gaps) > 1.5
    assert 3 < np.median(gaps) < 12


def test_nobody_appears_or_vanishes_in_the_middle_of_a_frame(seen, city):
    for sights in seen.values():
        for (before, here, first), (after, there, second) in pairwise(sights):
            if (here, before + 1) == (there, after):
                continue
            for person in (first, second):
                box = person.box
                # At four frames a second a person moves by about 25 pixels from one to the next.
                margins = (box.x, box.y, 320 - box.x - box.width, 240 - box.y - box.height)
                assert min(margins) < 30


def test_all_walk_with_the_stream(seen, city):
    shifts = defaultdict(list)
    for sights in seen.values():
        for (before, here, first), (after, there, second) in pairwise(sights):
            if (here, before + 1) == (there, after) and whole(first) and whole(second):
                middle = second.box.x + second.box.width / 2 - first.box.x - first.box.width / 2
                shifts[here].append(middle)
    for camera in city.cameras:
        direction = np.sign(np.median(shifts[camera.id]))
        assert direction != 0
        assert np.mean(np.sign(shifts[camera.id]) == direction) > 0.97


def test_two_to_six_people_are_typically_in_view(city):
    counts = [
        sum(person.visible_fraction > 0.2 for person in city.truth(camera.id, index).people)
        for camera in city.cameras
        for index in range(0, city.frames, 8)
    ]
    assert 2 <= np.mean(counts) <= 4
    assert np.mean([2 <= count <= 6 for count in counts]) > 0.6


def test_strangers_are_dressed_apart_and_lookalikes_are_not():
    def nearest(lookalikes):
        wardrobe, rng, people = Wardrobe(lookalikes=lookalikes), stream(3, "people"), []
        for _ in range(50):
            people.append(wardrobe.dress(rng, people))
        outfits = [person.outfit for person in people]
        return [
            min(outfit_distance(outfit, other) for other in outfits[:n])
            for n, outfit in enumerate(outfits)
            if n
        ]

    assert min(nearest(0.0)) >= Wardrobe().apart
    assert np.mean(np.array(nearest(0.5)) < Wardrobe().apart) > 0.2


def test_a_fuller_city_has_more_people():
    counts = [
        len(City(CityPlan(seed=1, duration_s=60, people_per_minute=busy)).people)
        for busy in (5, 20, 60)
    ]
    assert counts[0] < counts[1] < counts[2]


def test_a_person_comes_back_looking_the_same(city):
    assert city.people == City(CityPlan(seed=11, duration_s=90, anomalies=False)).people
