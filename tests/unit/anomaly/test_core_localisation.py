from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.anomaly.core.evaluation import roc
from services.anomaly.core.localisation import (
    LocatedClip,
    covering_error,
    localisation,
    localisation_roc,
    patch_truth,
    pixel_roc,
)
from shared.errors import Malformed

PIXEL_ROWS, PIXEL_COLUMNS = 9, 10
ROWS, COLUMNS = 2, 4


def laid_out(error_map):
    """Every pixel with the error of the patch that holds its centre."""
    rows = [int((y + 0.5) * ROWS / PIXEL_ROWS) for y in range(PIXEL_ROWS)]
    columns = [int((x + 0.5) * COLUMNS / PIXEL_COLUMNS) for x in range(PIXEL_COLUMNS)]
    return error_map[np.ix_(rows, columns)]


def drawn(seed, frames=6):
    """Maps and masks of a clip; its first frame is normal, its last is not."""
    random = np.random.default_rng(seed)
    maps = random.integers(0, 5, (frames, ROWS, COLUMNS)).astype(float)
    masks = random.random((frames, PIXEL_ROWS, PIXEL_COLUMNS)) < random.random((frames, 1, 1)) / 3
    masks[0], masks[-1, 3, 4] = False, True
    return maps, masks


def located(maps, masks):
    return LocatedClip(maps, patch_truth(masks, rows=ROWS, columns=COLUMNS))


seeds = st.integers(0, 10_000)


@given(seeds)
def test_counting_patches_is_the_same_as_laying_out_pixels(seed):
    maps, masks = drawn(seed)
    pixels = np.stack([laid_out(one) for one in maps])
    assert pixel_roc([located(maps, masks)]).auc == pytest.approx(
        roc(pixels.ravel(), masks.ravel()).auc
    )


@given(seeds)
def test_the_curve_of_localisation_is_the_papers_at_every_threshold(seed):
    maps, masks = drawn(seed)
    curve = localisation_roc([located(maps, masks)])
    abnormal = masks.any(axis=(1, 2))
    for threshold in range(6):
        detected = np.stack([laid_out(one) for one in maps]) >= threshold
        hits = [
            (found & mask).sum() >= 0.4 * mask.sum()
            for found, mask in zip(detected[abnormal], masks[abnormal], strict=True)
        ]
        point = (detected[~abnormal].any(axis=(1, 2)).mean(), np.mean(hits))
        distances = np.hypot(
            curve.false_positive_rate - point[0], curve.true_positive_rate - point[1]
        )
        assert distances.min() == pytest.approx(0.0), (threshold, point)


def test_four_tenths_of_the_abnormal_pixels_make_a_hit_and_less_does_not():
    # Ten abnormal pixels in patches of equal size: 3 under error 9, 1 under 5, 6 under 1.
    abnormal = np.array([[3, 1, 6]])
    assert covering_error(np.array([[9.0, 5.0, 1.0]]), abnormal) == 5.0
    assert covering_error(np.array([[9.0, 5.0, 1.0]]), np.array([[4, 0, 6]])) == 9.0
    assert covering_error(np.array([[9.0, 5.0, 1.0]]), np.zeros((1, 3), int)) == 9.0


def test_an_error_in_the_wrong_place_finds_the_frame_but_not_the_anomaly():
    masks = np.zeros((2, 8, 8), bool)
    masks[1, :4, :4] = True
    right, wrong = np.zeros((2, 2, 2)), np.zeros((2, 2, 2))
    right[1, 0, 0] = wrong[1, 1, 1] = 1.0
    right[0] = wrong[0] = 0.5
    truth = patch_truth(masks, rows=2, columns=2)
    found, missed = (localisation([LocatedClip(maps, truth)]) for maps in (right, wrong))
    assert (found.auc, found.eer) == (1.0, 0.0)
    assert (missed.auc, missed.eer) == (0.0, 1.0)
    assert found.pixel_auc > 0.5 > missed.pixel_auc


def test_every_pixel_is_counted_in_one_patch_whatever_the_sizes():
    masks = np.random.default_rng(0).random((3, 240, 360)) < 0.1
    truth = patch_truth(masks, rows=16, columns=16)
    assert truth.abnormal.sum() == masks.sum()
    assert truth.pixels.sum() == 240 * 360
    assert (truth.abnormal <= truth.pixels).all()
    assert set(truth.pixels.ravel()) == {15 * 22, 15 * 23}


def test_maps_and_masks_that_do_not_match_are_refused():
    maps, masks = drawn(0)
    with pytest.raises(Malformed, match="patches"):
        localisation([LocatedClip(maps[1:], patch_truth(masks, rows=ROWS, columns=COLUMNS))])
    normal = np.zeros_like(masks)
    with pytest.raises(Malformed, match="normal and abnormal"):
        localisation([located(maps, normal)])
