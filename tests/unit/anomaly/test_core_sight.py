"""What a network sees of a camera's frames."""

from __future__ import annotations

import numpy as np
import pytest

from services.anomaly.core.clip import to_network_input
from services.anomaly.core.sight import CHANNELS, Sight
from tests.unit.anomaly.walker import walker

RED = np.full((48, 64, 3), (200, 0, 0), np.uint8)


def seen(colour, frames):
    sight = Sight(colour=colour)
    return to_network_input(sight.clip(sight.pictures(frames), width=32, height=16))


@pytest.mark.parametrize("colour", CHANNELS)
@pytest.mark.parametrize("frames", [list(walker(2)), [RED] * 6], ids=["gray", "rgb"])
def test_frames_of_any_kind_become_the_channels_that_the_network_takes(colour, frames):
    clip = seen(colour, frames)
    assert clip.shape == (Sight(colour=colour).channels, 6, 16, 32)
    assert clip.dtype == np.float32
    assert clip.flags.c_contiguous
    assert 0.0 <= clip.min() <= clip.max() <= 1.0


def test_colours_stay_in_their_order():
    assert seen("rgb", [RED])[:, 0, 8, 16] == pytest.approx([200 / 255, 0, 0])


def test_only_a_network_of_colours_needs_them_decoded():
    assert {colour: Sight(colour=colour).decodes for colour in CHANNELS} == {
        "gray": "gray",
        "rgb": "rgb",
        "flow": "gray",
    }


def test_a_clip_written_in_place_is_the_same():
    sight = Sight(colour="flow")
    pixels = sight.clip(sight.pictures(list(walker(2))), width=32, height=16)
    place = np.empty((2, 6, 16, 32), np.float32)
    to_network_input(pixels, mean=0.5, std=0.2, out=place)
    assert np.array_equal(place, to_network_input(pixels, mean=0.5, std=0.2))


@pytest.mark.parametrize("colour", ["gray", "rgb"])
def test_pixels_are_shown_as_their_brightness(colour):
    frames = [np.full((16, 32), 51, np.uint8)]
    shown = Sight(colour=colour).shown(seen(colour, frames))
    assert shown.shape == (1, 16, 32)
    assert shown == pytest.approx(np.full((1, 16, 32), 0.2), abs=1e-6)


def test_flow_is_shown_as_speed():
    shown = Sight(colour="flow").shown(seen("flow", list(walker(2, width=40, height=60))))
    assert shown.shape == (6, 16, 32)
    assert 0.3 < shown[3].max() <= 1.0
    assert shown[3, :4, :4] == pytest.approx(np.zeros((4, 4)), abs=1e-6)
