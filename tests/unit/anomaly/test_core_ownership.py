from __future__ import annotations

import pytest

from services.anomaly.core.ownership import owned_windows
from shared.errors import Malformed


def test_the_first_window_owns_all_its_frames_and_later_ones_what_is_new():
    assert owned_windows(16, clip=16, stride=4) == [(0, 0)]
    assert owned_windows(26, clip=16, stride=4) == [(0, 0), (4, 12), (8, 12), (10, 14)]
    assert owned_windows(15, clip=16, stride=4) == []


@pytest.mark.parametrize("stride", [1, 3, 16])
def test_every_frame_is_owned_once(stride):
    for frames in range(16, 70):
        owned = [
            start + within
            for start, owned_from in owned_windows(frames, clip=16, stride=stride)
            for within in range(owned_from, 16)
        ]
        assert owned == list(range(frames))


@pytest.mark.parametrize("stride", [0, 17])
def test_a_stride_that_would_skip_frames_is_refused(stride):
    with pytest.raises(Malformed, match="stride"):
        owned_windows(32, clip=16, stride=stride)
