"""Where each pixel goes, and the pictures of it that a network learns from."""

from __future__ import annotations

import numpy as np
import pytest

from services.anomaly.core.flow import STILL, Flow, FlowSettings, FlowSize, flow_pictures
from tests.unit.anomaly.walker import walker

SETTINGS = FlowSettings()
COAT = np.s_[75:105, 75:85]
"""Inside the thing in the fourth frame."""


def large(speed):
    """A thing that lies over 60 to 100 in the fourth frame."""
    return walker(speed, x=60 - 3 * speed, width=40, height=60)


def across(clip, intervals_s=None):
    """Pixels an interval to the right, where the thing is."""
    pictures = flow_pictures(Flow(clip, intervals_s), SETTINGS)
    return (np.median(pictures[3][COAT][..., 0]) - STILL) / (STILL - 1) * SETTINGS.reach


@pytest.mark.parametrize("speed", [-2, -1, 1, 2])
def test_a_picture_tells_how_fast_and_which_way(speed):
    clip = large(speed)
    assert across(clip) == pytest.approx(speed, abs=0.35)


def test_what_stands_still_is_the_middle_of_the_scale():
    pictures = flow_pictures(Flow(walker(0)), SETTINGS)
    assert pictures.shape == (6, 160, 240, 2)
    assert (pictures == STILL).all()


def test_the_first_frame_has_the_flow_of_the_second():
    first, second, *_ = flow_pictures(Flow(walker(2)), SETTINGS)
    assert np.array_equal(first, second)


def test_flow_is_told_in_the_same_unit_at_every_frame_rate():
    twice_as_rare = np.full(5, 2 * SETTINGS.interval_s)
    clip = large(2)
    assert across(clip, twice_as_rare) == pytest.approx(across(clip) / 2, abs=0.05)


def test_what_is_faster_than_the_scale_is_at_its_end():
    slow_clock = np.full(5, SETTINGS.interval_s / 100)
    assert flow_pictures(Flow(walker(2), slow_clock), SETTINGS).max() == 255


def test_flow_leads_from_each_frame_to_the_next_and_is_sought_once_for_a_size():
    flow = Flow(walker(2))
    found = flow.at(SETTINGS)
    assert len(found) == 5
    assert {one.shape for one in found} == {(160, 240, 2)}
    assert flow.at(FlowSize()) is found
    assert flow.at(FlowSize(width=120, height=80))[0].shape == (80, 120, 2)
