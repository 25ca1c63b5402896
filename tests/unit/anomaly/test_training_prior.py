"""The prior is measured on footage in which next to nothing moves."""

from __future__ import annotations

import numpy as np
import pytest

from services.anomaly.scorer import ClipErrors
from services.anomaly.training.footage import Recording
from services.anomaly.training.prior import PATCH, measure_prior, unknown_prior
from shared.errors import Malformed
from shared.images import encode_jpeg


class Told:
    """A scorer that is told its errors, a window of them at a time."""

    decodes = "gray"

    def __init__(self, windows):
        self.frames_per_clip = len(windows[0])
        self._windows = iter(windows)

    def score_batch(self, views):
        frame_errors = np.asarray(next(self._windows), np.float64)
        maps = frame_errors[:, None, None] * np.ones((1, 2, 2))
        return [ClipErrors(frame_errors, maps.astype(np.float32), ((),) * len(views[0].frames))]


@pytest.fixture
def measured(tmp_path):
    """Measures a prior from windows of errors."""
    picture = tmp_path / "0.jpg"
    picture.write_bytes(encode_jpeg(np.zeros((16, 16), np.uint8)))

    def measure(windows):
        frames = (picture,) * (len(windows) * len(windows[0]))
        prior = unknown_prior("largest_region", PATCH)
        held_out = [Recording("clip", frames)]
        return measure_prior(Told(windows), prior, held_out, stride=len(windows[0])).frame

    return measure


def test_a_camera_at_which_mostly_nothing_moves_gets_a_prior_with_a_scale(measured):
    still, moving = [0.0] * 8, [0.01, 0.02, 0.03, 0.04, 0.04, 0.03, 0.02, 0.01]
    prior = measured([still, still, still, moving])
    assert prior.q999 == pytest.approx(0.04, rel=0.01)
    assert prior.q50 == pytest.approx(0.1 * prior.q999)
    assert prior.q50 < prior.q95 < prior.q99 <= prior.q999


def test_quantiles_that_a_scale_can_be_made_of_are_left_as_they_are(measured):
    prior = measured([[0.01] * 8, [0.02] * 8, [0.02] * 8, [0.03] * 8])
    assert prior.q50 == 0.02


@pytest.mark.parametrize("error", [0.0, 0.02])
def test_footage_in_which_every_frame_is_the_same_is_refused_by_name(measured, error):
    with pytest.raises(Malformed, match="something moves") as refused:
        measured([[error] * 8] * 4)
    assert refused.value.code == "nothing_moves"
