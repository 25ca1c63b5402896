from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.synthetic.city.drawing.pinhole import Pinhole
from services.synthetic.city.drawing.sprite import Canvas, Sprite, place
from services.synthetic.city.people.gait import RUN, STAND, WALK, Joint, Posture

CAMERA = Pinhole(
    position=(2.0, -9.0, 4.5), target=(0.0, 0.5, 0.9), focal_px=420, width=320, height=240
)
METRES = st.floats(-6, 6)


def test_what_is_looked_at_is_in_the_middle():
    x, y, depth = CAMERA.sight(*CAMERA.target)
    assert (x, y) == pytest.approx((159.5, 119.5))
    assert depth == pytest.approx(np.linalg.norm(np.subtract(CAMERA.target, CAMERA.position)))


@settings(deadline=None)
@given(METRES, METRES, st.floats(0, 3))
def test_one_point_is_seen_where_many_are(u, v, z):
    pixels, depth = CAMERA.project(np.array([(u, v, z)]))
    assert CAMERA.sight(u, v, z) == pytest.approx((*pixels[0], depth[0]))


@settings(deadline=None)
@given(METRES, METRES, st.floats(0, 3))
def test_a_ray_through_a_pixel_meets_the_point_that_is_seen_there(u, v, z):
    x, y, depth = CAMERA.sight(u, v, z)
    right, down, forward = CAMERA.axes
    centre_x, centre_y = CAMERA.centre
    ray = forward + (x - centre_x) / 420 * right + (y - centre_y) / 420 * down
    assert np.array(CAMERA.position) + depth * ray == pytest.approx((u, v, z), abs=1e-6)


def test_rays_go_through_the_middles_of_the_sub_pixels():
    ray = CAMERA.rays(1)[100, 30].astype(float)
    x, y, _ = CAMERA.sight(*(np.array(CAMERA.position) + 5 * ray))
    assert (x, y) == pytest.approx((30, 100), abs=1e-3)


def filled(left, top, right, bottom, ink=(200.0, 100.0, 50.0, 255.0)):
    placed = place(np.array([(left, top), (right, top), (right, bottom), (left, bottom)], float))
    canvas = Canvas(placed)
    canvas.fill_hull(placed - canvas.origin, ink)
    return canvas.sprite()


@settings(deadline=None)
@given(st.floats(-20, 300), st.floats(-20, 200), st.floats(5, 40), st.floats(5, 40))
def test_a_filled_rectangle_covers_its_area(left, top, width, height):
    sprite = filled(left, top, left + width, top + height)
    covered = sprite.coverage.sum() / 255
    # The filler colours every sub-pixel that an edge touches: up to one more at each side.
    assert abs(covered - width * height) < 0.5 * (width + height)


def test_edges_are_softened():
    sprite = filled(10.25, 10.25, 30.6, 30.6)
    levels = set(np.unique(sprite.coverage).tolist())
    assert 255 in levels
    assert levels & set(range(1, 255))


def test_a_sprite_covers_what_is_below_and_only_there():
    frame = np.full((60, 60, 3), 90, np.uint8)
    filled(20, 20, 40, 40).paint(frame)
    assert frame[30, 30].tolist() == [200, 100, 50]
    assert frame[5, 5].tolist() == [90, 90, 90]
    edge = frame[30, 19:42].astype(int)
    assert (edge[:, 0] >= 90).all()


@settings(deadline=None)
@given(st.integers(-80, 380), st.integers(-80, 300))
def test_a_sprite_may_lie_anywhere(x, y):
    frame = np.full((240, 320, 3), 90, np.uint8)
    sprite = Sprite(x, y, np.full((30, 20, 3), 7, np.uint8), np.full((30, 20), 255, np.uint8))
    sprite.paint(frame)
    columns = max(0, min(x + 20, 320) - max(x, 0))
    rows = max(0, min(y + 30, 240) - max(y, 0))
    assert (frame == 7).all(axis=2).sum() == columns * rows
    extent = sprite.extent(320, 240)
    assert (extent.width * extent.height if extent else 0) == columns * rows


@pytest.mark.parametrize("gait", [WALK, RUN, STAND])
@settings(deadline=None)
@given(phase=st.floats(0, 20), fallen=st.floats(0, 1))
def test_no_joint_sinks_into_the_ground_and_feet_are_on_it(gait, phase, fallen):
    joints = Posture(gait, phase, fallen).joints()
    heights = joints[: Joint.FORWARD, 2]
    assert heights.min() >= 0.02
    assert heights.min() < 0.1
    upright = Posture(gait, phase).joints()
    assert 0.78 < upright[Joint.HEAD, 2] < 1.0


def test_both_legs_do_the_same_half_a_stride_apart():
    one, other = Posture(WALK, 1.0).joints(), Posture(WALK, 1.0 + np.pi).joints()
    left = one[[Joint.KNEE_LEFT, Joint.ANKLE_LEFT]]
    right = other[[Joint.KNEE_RIGHT, Joint.ANKLE_RIGHT]]
    assert left == pytest.approx(right * (1, -1, 1), abs=1e-9)


def test_a_fallen_body_is_long_and_low():
    upright, fallen = Posture(STAND, 0.0).joints(), Posture(STAND, 0.0, 1.0).joints()
    assert np.ptp(upright[: Joint.FORWARD, 2]) > 0.8
    assert np.ptp(fallen[: Joint.FORWARD, 2]) < 0.3
    assert np.ptp(fallen[: Joint.FORWARD, 0]) > 0.8
