from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from services.reid.core.quality import freedom, quality, shape, sharpness, size, wholeness
from shared.messages import Box

FRAME = (320, 240)


@pytest.fixture
def crop():
    return np.random.default_rng(0).integers(0, 255, (96, 40, 3), dtype=np.uint8)


def person(x=100.0, y=80.0, width=40.0, height=96.0):
    return Box(x=x, y=y, width=width, height=height)


def test_a_sharp_large_whole_and_lonely_person_is_nearly_perfect(crop):
    assert 0.9 < quality(crop, person(), frame_size=FRAME, others=[]) <= 1.0


def test_blur_lowers_the_quality(crop):
    blurred = gaussian_filter(crop, (2, 2, 0))
    assert sharpness(blurred) < 0.5 * sharpness(crop)


def test_a_flat_crop_is_useless(crop):
    assert quality(np.full_like(crop, 90), person(), frame_size=FRAME, others=[]) == 0.0


def test_a_crop_too_small_to_have_a_neighbourhood_is_useless():
    assert sharpness(np.zeros((2, 2, 3), np.uint8)) == 0.0


def test_half_the_height_is_half_as_good():
    assert size(person(height=48)) == pytest.approx(0.5)


@pytest.mark.parametrize(("width", "height"), [(96, 96), (20, 96)])
def test_squat_and_thin_boxes_are_worse_than_a_persons_shape(width, height):
    assert shape(person(width=width, height=height)) < shape(person()) == 1.0


@pytest.mark.parametrize(
    "box",
    [person(x=0), person(y=1), person(x=280), person(y=144)],
    ids=["left", "top", "right", "bottom"],
)
def test_a_box_at_the_frames_edge_is_taken_to_be_cut_off(box):
    assert wholeness(box, FRAME) < wholeness(person(), FRAME) == 1.0


def test_who_stands_behind_suffers_more_than_who_stands_before():
    behind, before = person(y=80), person(x=120, y=90)
    assert freedom(behind, [before]) < freedom(before, [behind]) < freedom(before, []) == 1.0


def test_somebody_covered_entirely_is_useless(crop):
    covered, other = person(), person(x=90, y=70, width=60, height=120)
    assert quality(crop, covered, frame_size=FRAME, others=[other]) == 0.0
