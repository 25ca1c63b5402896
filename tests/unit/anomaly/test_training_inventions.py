"""Anomalies that are invented in normal footage, to choose settings by."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from services.anomaly.training.footage import recordings
from services.anomaly.training.inventions import (
    INVENTORS,
    LENGTH,
    SHORTEST,
    invent,
    write_inventions,
)
from services.anomaly.training.labels import frame_labels
from services.anomaly.training.masks import pixel_masks
from shared.errors import Conflict, Malformed

PACE = 1


def street(frames=SHORTEST + 20):
    """Two dark walkers cross a light street at PACE, (F, 160, 240)."""
    clip = np.full((frames, 160, 240), 150, np.uint8)
    coat = np.random.default_rng(0).integers(20, 90, (24, 8), np.uint8)
    for n, frame in enumerate(clip):
        for row, left in ((50, 5 + PACE * n), (90, 225 - PACE * n)):
            part = frame[row : row + 24, left : left + 8]
            part[:] = coat[:, : part.shape[1]]
    return clip


def made(kind, frames=None, seed=0):
    return invent(kind, street() if frames is None else frames, np.random.default_rng(seed))


@pytest.mark.parametrize("kind", INVENTORS)
def test_an_invention_lasts_as_long_as_it_says_and_changes_nothing_else(kind):
    frames = street()
    found = made(kind, frames)
    assert found.kind == kind
    assert found.frames.shape == found.masks.shape
    abnormal = found.masks.any(axis=(1, 2))
    assert 0 < abnormal.sum() <= LENGTH
    quiet = ~abnormal
    assert np.array_equal(found.frames[quiet], frames[: len(quiet)][quiet])
    changed = found.frames != frames[: len(found.frames)]
    # A soft edge lies a little outside of what is called abnormal.
    near = np.stack([cv2.dilate(one.astype(np.uint8), np.ones((9, 9))) for one in found.masks])
    assert changed.any()
    assert not changed[near == 0].any()


@pytest.mark.parametrize("kind", INVENTORS)
def test_the_same_seed_invents_the_same(kind):
    first, again, other = made(kind), made(kind), made(kind, seed=1)
    assert np.array_equal(first.frames, again.frames)
    assert not np.array_equal(first.masks[: len(other.masks)], other.masks[: len(first.masks)])


def test_what_glides_is_faster_than_who_walks():
    masks = made("glide").masks
    places = [np.nonzero(mask)[1].mean() for mask in masks if mask.any()]
    assert 1.2 * PACE <= np.mean(np.abs(np.diff(places))) <= 5 * PACE


def test_bulk_is_broader_than_anybody():
    widths = [np.ptp(np.nonzero(mask)[1]) for mask in made("bulk").masks if mask.any()]
    assert np.median(widths) > 1.5 * 8


def test_haste_shows_every_second_frame():
    frames = street()
    found = made("haste", frames)
    start = int(np.argmax(found.masks.any(axis=(1, 2))))
    where = found.masks[start]
    assert np.array_equal(found.frames[start + 5][where], frames[start + 10][where])


@pytest.mark.parametrize("kind", INVENTORS)
def test_an_empty_street_gives_nothing_to_invent_with(kind):
    assert made(kind, np.full((SHORTEST, 160, 240), 150, np.uint8)) is None


def write_clip(folder, frames):
    folder.mkdir(parents=True)
    for n, frame in enumerate(frames):
        cv2.imwrite(str(folder / f"{n:04d}.png"), frame)


def test_what_was_invented_is_test_footage_with_labels_and_masks(tmp_path):
    write_clip(tmp_path / "Train" / "Train001", street())
    write_clip(tmp_path / "Train" / "Train002", street()[: SHORTEST - 1])  # too short
    out = tmp_path / "invented"
    clips = recordings(tmp_path, "Train")
    assert write_inventions(clips, out, each=2, seed=0) == (2 * len(INVENTORS), 0)
    tests = recordings(out, "Test")
    assert {clip.name for clip in tests} == {
        f"Train001-{kind}-{n}" for kind in INVENTORS for n in range(2)
    }
    for clip, labels in zip(tests, frame_labels(out, tests), strict=True):
        masks = pixel_masks(out, clip)
        assert np.array_equal(masks.any(axis=(1, 2)), labels)
        assert labels.any()
    with pytest.raises(Conflict, match="is not empty"):
        write_inventions(clips, out, each=1, seed=0)


def test_footage_of_nobody_is_refused(tmp_path):
    write_clip(tmp_path / "Train" / "Train001", np.full((SHORTEST, 160, 240), 150, np.uint8))
    with pytest.raises(Malformed, match="somebody walks"):
        write_inventions(recordings(tmp_path, "Train"), tmp_path / "out", each=1, seed=0)
