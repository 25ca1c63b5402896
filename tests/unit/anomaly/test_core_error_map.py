from __future__ import annotations

import numpy as np
import pytest

from services.anomaly.core.clip import to_network_input
from services.anomaly.core.error_map import Reading, frame_errors, moving_part, patch_errors, smooth


def test_pixels_become_fractions_normalised_as_the_card_says():
    frames = np.array([[[0, 255], [51, 102]]], dtype=np.uint8)
    plain = to_network_input(frames)
    assert plain.shape == (1, 1, 2, 2)
    assert plain.dtype == np.float32
    assert plain.ravel() == pytest.approx([0.0, 1.0, 0.2, 0.4])
    assert to_network_input(frames, mean=0.5, std=0.25).ravel() == pytest.approx(
        [-2.0, 2.0, -1.2, -0.4], abs=1e-6
    )


def test_patch_errors_equal_those_of_a_loop_over_patches():
    random = np.random.default_rng(0)
    clip = random.random((2, 3, 16, 24), dtype=np.float32)
    reconstruction = random.random((2, 3, 16, 24), dtype=np.float32)
    maps = patch_errors(clip, reconstruction, patch=8)
    assert maps.shape == (3, 2, 3)
    for t, row, column in np.ndindex(maps.shape):
        here = (slice(None), t, slice(8 * row, 8 * row + 8), slice(8 * column, 8 * column + 8))
        expected = ((clip[here] - reconstruction[here]) ** 2).mean()
        assert maps[t, row, column] == pytest.approx(expected, rel=1e-5)


def test_neither_the_clip_nor_its_reconstruction_is_changed():
    clip = np.full((1, 1, 8, 8), 0.75, dtype=np.float32)
    reconstruction = np.full((1, 1, 8, 8), 0.25, dtype=np.float32)
    patch_errors(clip, reconstruction, patch=8)
    assert (clip == 0.75).all()
    assert (reconstruction == 0.25).all()


def test_the_mean_is_the_papers_frame_error_and_the_worst_patch_stands_out_of_it():
    random = np.random.default_rng(1)
    clip = random.random((1, 2, 16, 16), dtype=np.float32)
    reconstruction = clip.copy()
    reconstruction[0, 1, :8, :8] += 0.1
    maps = patch_errors(clip, reconstruction, patch=8)
    assert frame_errors(maps, "mean", Reading()) == pytest.approx([0.0, 0.0025], abs=1e-8)
    assert frame_errors(maps, "max_patch", Reading()) == pytest.approx([0.0, 0.01], abs=1e-7)


def test_the_largest_region_counts_where_many_small_ones_do_not():
    maps = np.zeros((2, 8, 8), dtype=np.float32)
    maps[0, ::2, ::2] = 0.04
    maps[1, 2:5, 2:6] = 0.04
    crowd, van = frame_errors(maps, "largest_region", Reading(floor=0.01, ceiling=0.05))
    assert crowd == pytest.approx(0.04 / 64)
    assert van == pytest.approx(12 * 0.04 / 64)


def test_one_glaring_patch_does_not_outweigh_a_large_region():
    maps = np.zeros((1, 8, 8), dtype=np.float32)
    maps[0, 0, 0], maps[0, 4:6, 4:6] = 1.0, 0.04
    (error,) = frame_errors(maps, "largest_region", Reading(floor=0.01, ceiling=0.05))
    assert error == pytest.approx(4 * 0.04 / 64)


def test_no_region_is_no_error():
    assert frame_errors(np.zeros((3, 4, 4), np.float32), "largest_region", Reading()).max() == 0.0


def test_scores_are_steadied_over_neighbouring_frames():
    maps = np.zeros((5, 2, 2), dtype=np.float32)
    maps[2] = 3.0
    assert frame_errors(maps, "mean", Reading(steady=3)) == pytest.approx([0, 1, 1, 1, 0])


def test_the_moving_part_is_what_differs_from_the_median_over_time():
    clip = np.full((1, 5, 2, 2), 0.5, dtype=np.float32)
    clip[0, 3, 0, 0] = 0.9
    moving = moving_part(clip)
    assert moving[0, 3, 0, 0] == pytest.approx(0.4)
    assert np.count_nonzero(moving) == 1
    assert clip[0, 0, 0, 0] == 0.5


def test_smoothing_averages_neighbours_and_one_by_one_leaves_the_map_alone():
    maps = np.zeros((3, 5, 5), dtype=np.float32)
    maps[1, 2, 2] = 27.0
    assert smooth(maps, patches=1, frames=1) is maps
    smoothed = smooth(maps, patches=3, frames=3)
    assert smoothed[1, 1:4, 1:4] == pytest.approx(np.ones((3, 3)))
    assert smoothed[1, 0].sum() == 0.0
    assert smooth(maps, patches=3, frames=1)[0].sum() == 0.0
