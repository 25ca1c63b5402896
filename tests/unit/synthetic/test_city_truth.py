from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from services.synthetic.city import City, CityPlan
from services.synthetic.city.chance import stream
from services.synthetic.city.drawing.stance import Stance
from services.synthetic.city.people.gait import WALK, Posture
from services.synthetic.city.people.wardrobe import someone
from services.synthetic.city.presence import Body, Thing
from services.synthetic.city.scene import Cast, Scene
from services.synthetic.city.scenery.vehicle import LENGTH_M, VehicleKind, vehicle
from services.synthetic.city.stage import stage
from shared.images import stencil
from shared.messages import Polygon

STAGES = (0, 1, 2, 3)


VIVID = (255.0, 20.0, 200.0)
"""A colour that no street has."""


def vivid(rng):
    person = someone(rng)
    outfit = replace(
        person.outfit, top_colour=VIVID, accent=VIVID, bottom_colour=VIVID, shoes=VIVID, hat=VIVID
    )
    outfit = replace(outfit, bag_colour=VIVID)
    return replace(person, skin=VIVID, hair_colour=VIVID, outfit=outfit)


@pytest.fixture(scope="module")
def cast():
    rng = stream(5, "vivid")
    return Cast([vivid(rng) for _ in range(6)])


def drawn(site, cast, presences):
    return Scene.drawn(stage(2, site, 320, 240), cast, presences, 3.0, shadows=False)


def body(person_id, u, v, heading=0.3, phase=1.0):
    return Body(person_id, Posture(WALK, phase), Stance(u, v, heading))


def changed(site, cast, presences):
    before = drawn(site, cast, []).frame(0).astype(int)
    after = drawn(site, cast, presences).frame(0).astype(int)
    return np.abs(after - before).max(axis=2)


def edges(box):
    return np.array([box.x, box.y, box.x + box.width, box.y + box.height])


@pytest.mark.parametrize("site", STAGES)
@pytest.mark.parametrize("person_id", [1, 2, 3, 4, 5, 6])
def test_a_box_is_the_extent_of_the_pixels_that_a_person_changes(site, person_id, cast):
    presence = body(person_id, 0.4 * person_id - 1, 0.0, heading=person_id)
    rows, columns = np.nonzero(changed(site, cast, [presence]) > 60)
    drawn_edges = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    (person,) = drawn(site, cast, [presence]).truth().people
    assert (np.abs(edges(person.box) - drawn_edges) <= 1).all()
    assert person.visible_fraction == 1.0


@pytest.mark.parametrize("site", STAGES)
def test_a_box_ends_where_the_frame_ends(site, cast):
    place = stage(2, site, 320, 240)
    left, right = place.view.span
    for u in np.linspace(left - 0.6, right + 0.6, 40).tolist():
        for person in drawn(site, cast, [body(1, u, -1.0)]).truth().people:
            x0, y0, x1, y1 = edges(person.box)
            assert 0 <= x0 < x1 <= 320
            assert 0 <= y0 < y1 <= 240
            inside = x0 > 0 and y0 > 0 and x1 < 320 and y1 < 240
            assert person.visible_fraction == 1.0 or not inside


@pytest.mark.parametrize("site", STAGES)
def test_who_is_hidden_is_told_by_the_pixels_that_are_left(site, cast):
    camera = stage(2, site, 320, 240).camera
    behind = body(1, 0.0, 0.5)
    # Half a metre along the line of sight, and a little aside.
    sight = math.atan2(camera.position[1] - 0.5, camera.position[0])
    before = body(2, 0.6 * math.cos(sight) + 0.15, 0.5 + 0.6 * math.sin(sight))
    far, near = drawn(site, cast, [behind, before]).truth().people
    assert near.visible_fraction == 1.0
    alone = changed(site, cast, [behind]) > 30
    other = drawn(site, cast, [before]).frame(0).astype(int)
    both = drawn(site, cast, [behind, before]).frame(0).astype(int)
    left = (np.abs(both - other).max(axis=2) > 30).sum() / alone.sum()
    assert 0 < far.visible_fraction < 0.9
    assert abs(far.visible_fraction - left) < 0.05


def test_the_order_of_the_presences_does_not_matter(cast):
    crowd = [body(n + 1, 0.3 * n - 1, 0.25 * n - 0.5) for n in range(5)]
    forwards, backwards = drawn(1, cast, crowd), drawn(1, cast, crowd[::-1])
    assert np.array_equal(forwards.frame(0), backwards.frame(0))
    assert forwards.truth() == backwards.truth()


def test_a_long_vehicle_is_behind_whoever_walks_on_the_camera_side_of_it(cast):
    car = Thing(
        vehicle(VehicleKind.CAR, (200, 40, 40)),
        Stance(0.0, 0.95, 0.0),
        LENGTH_M[VehicleKind.CAR],
        1.8,
    )
    for u in np.linspace(-2, 2, 9).tolist():
        (person,) = drawn(3, cast, [car, body(1, u, -0.5)]).truth().people
        assert person.visible_fraction == 1.0


def test_a_shadow_is_no_part_of_a_person(cast):
    place = stage(2, 2, 320, 240)
    presence = body(3, 0.0, 0.0)
    shaded = Scene.drawn(place, cast, [presence], 3.0)
    bare = Scene.drawn(place, cast, [presence], 3.0, shadows=False)
    assert shaded.truth() == bare.truth()
    darker = bare.frame(0).astype(int) - shaded.frame(0).astype(int)
    assert darker.max() > 15
    assert darker.min() >= 0


def test_what_passes_on_the_road_is_within_its_polygon_and_nobody_on_the_walkway_is():
    city = City(CityPlan(seed=3, duration_s=40, fps=2, anomalies=False))
    for camera in city.cameras:
        if not camera.road:
            continue
        road = Polygon(points=camera.road)
        inside = stencil([road], 320, 240)
        feet = [
            (min(int(p.box.x + p.box.width / 2), 319), int(p.box.y + p.box.height) - 1)
            for n in range(city.frames)
            for p in city.truth(camera.id, n).people
            if 0 <= p.box.x + p.box.width / 2 < 320 and p.box.y + p.box.height < 240
        ]
        assert feet
        assert not any(inside[y, x] for x, y in feet)
        stack = np.stack([city.frame(camera.id, n) for n in range(city.frames)]).astype(int)
        moved = (abs(stack - np.median(stack, axis=0)).max(axis=3) > 40).any(axis=0)
        assert moved[inside].mean() > 0.3, "vehicles pass there"


def test_a_frame_and_its_truth_agree_on_the_whole_city():
    with_people = City(CityPlan(seed=5, duration_s=12, shadows=False, anomalies=False))
    for camera in with_people.cameras:
        for person in with_people.truth(camera.id, 60).people:
            assert 0 <= person.visible_fraction <= 1
            assert 1 <= person.person_id <= len(with_people.people)
