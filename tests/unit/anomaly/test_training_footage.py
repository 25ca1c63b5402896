from __future__ import annotations

import cv2
import numpy as np
import pytest

from services.anomaly.core.flow import STILL
from services.anomaly.core.sight import CHANNELS, Sight
from services.anomaly.training.augmentation import Augmentation
from services.anomaly.training.footage import read_frame, recordings
from services.anomaly.training.gathering import gather, hold_out
from services.anomaly.training.labels import frame_labels
from services.anomaly.training.pseudo import PseudoAnomalies, hastened
from services.anomaly.training.windows import Source, TrainingWindows
from shared.errors import Malformed, Missing


def write_clip(folder, frames, suffix=".png", size=(24, 32)):
    """Frame n is of gray level n, but for a bright column that moves by one pixel a frame."""
    folder.mkdir(parents=True)
    for n in range(frames):
        pixels = np.full(size, n, dtype=np.uint8)
        pixels[:, n % size[1]] = 255
        cv2.imwrite(str(folder / f"{n + 1}{suffix}"), pixels)


def windows_over(folder, *, augmentation=None, seed=0, frames=8, colour="gray", pseudo=0.0):
    return TrainingWindows(
        [Source("set", recordings(folder, "Train"), 1.0)],
        sight=Sight(colour=colour),
        frames=frames,
        side=16,
        window=16,
        augmentation=augmentation or Augmentation(),
        pseudo_anomalies=PseudoAnomalies(chance=pseudo),
        seed=seed,
    )


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".bmp"])
def test_frames_of_every_format_are_read_as_gray_or_in_their_colours(tmp_path, suffix):
    write_clip(tmp_path / "Train" / "01", 1, suffix)
    (clip,) = recordings(tmp_path, "Train")
    pixels = read_frame(clip.frames[0])
    assert (pixels.shape, pixels.dtype) == ((24, 32), np.uint8)
    cv2.imwrite(str(clip.frames[0]), np.full((24, 32, 3), (10, 80, 250), np.uint8))
    assert read_frame(clip.frames[0], "rgb")[12, 16].tolist() == pytest.approx([250, 80, 10], abs=4)


def test_clips_and_frames_come_in_the_order_of_their_numbers(tmp_path):
    for name, frames in (("Train10", 11), ("Train2", 1)):
        write_clip(tmp_path / "Train" / name, frames)
    first, second = recordings(tmp_path, "Train")
    assert (first.name, second.name) == ("Train2", "Train10")
    assert [path.name for path in second.frames] == [f"{n}.png" for n in range(1, 12)]


def test_pixel_masks_and_folders_without_frames_are_no_clips(tmp_path):
    write_clip(tmp_path / "Test" / "Test001", 2)
    write_clip(tmp_path / "Test" / "Test001_gt", 2, ".bmp")
    (tmp_path / "Test" / "notes").mkdir()
    assert [clip.name for clip in recordings(tmp_path, "Test")] == ["Test001"]


def test_a_clip_may_have_regions_in_which_nothing_counts(tmp_path):
    for name in ("a", "b"):
        write_clip(tmp_path / "Train" / name, 1)
    (tmp_path / "Train" / "b" / "unwatched.json").write_text("[[[0, 0], [1, 0], [1, 0.5]]]")
    first, second = recordings(tmp_path, "Train")
    assert first.unwatched == ()
    assert second.unwatched[0].points == ((0, 0), (1, 0), (1, 0.5))
    (tmp_path / "Train" / "b" / "unwatched.json").write_text("[[[0, 0], [9, 9]]]")
    with pytest.raises(Malformed, match="no polygons"):
        recordings(tmp_path, "Train")


def test_a_folder_without_clips_and_a_file_without_picture_say_so(tmp_path):
    with pytest.raises(Missing, match="no clips"):
        recordings(tmp_path, "Train")
    (tmp_path / "broken.tif").write_bytes(b"no picture")
    with pytest.raises(Malformed, match="cannot be decoded"):
        read_frame(tmp_path / "broken.tif")


@pytest.fixture
def two_tests(tmp_path):
    write_clip(tmp_path / "Test" / "Test001", 5)
    write_clip(tmp_path / "Test" / "Test002", 4)
    return tmp_path


@pytest.mark.parametrize("name", ["labels.npy", "frame_labels_ped2.npy", "Test/frame_labels.npy"])
def test_labels_are_cut_at_the_clips_in_name_order(two_tests, name):
    np.save(two_tests / name, np.array([0, 0, 1, 1, 0, 2, 0, 0, 1]))
    first, second = frame_labels(two_tests, recordings(two_tests, "Test"))
    assert first.tolist() == [False, False, True, True, False]
    assert second.tolist() == [True, False, False, True]


def test_ucsd_ranges_count_from_one_and_include_their_end(two_tests):
    (two_tests / "Test" / "UCSDped2.m").write_text(
        "TestVideoFile = {};\n"
        "TestVideoFile{end+1}.gt_frame = [2:3];\n"
        "TestVideoFile{end+1}.gt_frame = [1:1, 3:4];\n"
    )
    first, second = frame_labels(two_tests, recordings(two_tests, "Test"))
    assert first.tolist() == [False, True, True, False, False]
    assert second.tolist() == [True, False, True, True]


def test_labels_that_do_not_match_the_frames_are_refused(two_tests):
    clips = recordings(two_tests, "Test")
    with pytest.raises(Missing, match="frame_labels"):
        frame_labels(two_tests, clips)
    (two_tests / "one.m").write_text("TestVideoFile{end+1}.gt_frame = [2:3];")
    with pytest.raises(Malformed, match="1 videos, but there are 2"):
        frame_labels(two_tests, clips)
    np.save(two_tests / "labels.npy", np.zeros(8))
    with pytest.raises(Malformed, match="8 frames, but there are 9"):
        frame_labels(two_tests, clips)


def test_the_real_ped2_labels_agree_in_both_of_their_forms(data):
    folder = data("UCSDped2")
    clips = recordings(folder, "Test")
    from_array = np.concatenate(frame_labels(folder, clips))
    from_ranges = np.concatenate(frame_labels(folder / "Test", clips))
    assert (len(from_array), from_array.sum()) == (2010, 1648)
    assert np.array_equal(from_array, from_ranges)


def test_whole_clips_are_held_out_evenly_and_never_all():
    clips = list(range(16))
    learnt, kept = hold_out(clips, 0.15)
    assert kept == (4, 12)
    assert sorted((*learnt, *kept)) == clips
    assert hold_out(clips[:2], 0.01) == ((0,), (1,))
    with pytest.raises(Malformed, match="cannot spare"):
        hold_out(clips[:1], 0.15)


def test_mixed_folders_keep_their_shares_and_tell_what_was_held_out(tmp_path):
    for name in ("city/Train/a", "city/Train/b", "walk/Train/c", "walk/Train/d"):
        write_clip(tmp_path / name, 2)
    folders = [tmp_path / "city", tmp_path / "walk"]
    footage = gather(folders, [3.0, 1.0], 0.5)
    assert [(source.name, source.share) for source in footage.sources] == [
        ("city", 3.0),
        ("walk", 1.0),
    ]
    assert [clip.name for clip in footage.held_out] == ["b", "d"]
    assert "walk/Train: 1 clips, 2 frames, share 1; held out for the prior: d." in (
        footage.description
    )
    with pytest.raises(Malformed, match="1 shares for 2 folders"):
        gather(folders, [1.0], 0.5)


@pytest.mark.parametrize("colour", CHANNELS)
def test_a_sample_is_the_same_whenever_it_is_asked_for(tmp_path, colour):
    write_clip(tmp_path / "Train" / "a", 40)
    one, other = (windows_over(tmp_path, colour=colour) for _ in range(2))
    other[0]
    for past, again in zip(one[7], other[7], strict=True):
        assert past.equal(again)
    assert not one[7][0].equal(one[8][0])
    assert not one[7][0].equal(windows_over(tmp_path, seed=1, colour=colour)[7][0])


def test_the_first_flow_of_a_sample_is_that_of_its_second_frame(tmp_path):
    write_clip(tmp_path / "Train" / "a", 40)
    past = windows_over(tmp_path, colour="flow")[0].past
    assert past.shape == (2, 8, 16, 16)
    assert past[:, 0].equal(past[:, 1])


def test_the_future_follows_the_past_without_a_gap(tmp_path):
    write_clip(tmp_path / "Train" / "a", 40)
    plain = Augmentation(smallest_crop=1.0, brightness=0.0, blur_chance=0.0)
    seen, past, future = windows_over(tmp_path, augmentation=plain)[0]
    assert seen.equal(past)
    assert past.shape == future.shape == (1, 8, 16, 16)
    # Every frame is one gray level brighter than the one before, wherever the bright column is not.
    levels = [frame.median().item() * 255 for frame in (*past[0], *future[0])]
    assert np.diff(levels) == pytest.approx(np.ones(15), abs=1e-3)


@pytest.mark.parametrize("colour", CHANNELS)
def test_a_pseudo_anomaly_is_seen_but_never_to_be_drawn(tmp_path, colour):
    write_clip(tmp_path / "Train" / "a", 40)
    normal = windows_over(tmp_path, colour=colour)
    odd = windows_over(tmp_path, colour=colour, pseudo=1.0)
    for n in range(5):
        assert odd[n].past.equal(normal[n].past)
        assert odd[n].future.equal(normal[n].future)
        assert not odd[n].seen.equal(odd[n].past)


def test_a_pseudo_anomaly_stays_within_its_rectangle():
    clip = np.random.default_rng(0).integers(0, 256, (16, 32, 32), dtype=np.uint8)
    seen = PseudoAnomalies(chance=1.0, smallest=0.25, largest=0.25)(
        clip, Sight(), np.random.default_rng(1)
    )
    rows, columns = np.nonzero((seen != clip[:8]).any(axis=0))
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (8, 8)


def test_what_is_hastened_moves_twice_as_far_from_frame_to_frame():
    clip = np.arange(100, 116, dtype=np.uint8)[:, None, None]
    assert np.diff(hastened(clip, Sight())[:, 0, 0]).tolist() == [2] * 7
    flow = np.full((4, 1, 1, 2), (STILL + 10, STILL - 100), dtype=np.uint8)
    faster = hastened(flow, Sight(colour="flow"))
    assert faster.tolist() == [[[[STILL + 20, 1]]]] * 2


def test_a_clip_too_short_for_past_and_future_is_never_drawn(tmp_path):
    write_clip(tmp_path / "Train" / "short", 15)
    with pytest.raises(Malformed, match="no clip of 16 frames"):
        windows_over(tmp_path)
    write_clip(tmp_path / "Train" / "long", 16)
    windows = windows_over(tmp_path)
    assert all(windows[n][0].shape == (1, 8, 16, 16) for n in range(10))


def test_sources_are_drawn_by_their_shares(tmp_path):
    for name, level in (("dark", 0), ("light", 200)):
        folder = tmp_path / name / "Train" / "a"
        folder.mkdir(parents=True)
        for n in range(16):
            cv2.imwrite(str(folder / f"{n}.png"), np.full((16, 16), level, dtype=np.uint8))
    sources = [
        Source(name, recordings(tmp_path / name, "Train"), share)
        for name, share in (("dark", 3.0), ("light", 1.0))
    ]
    windows = TrainingWindows(
        sources,
        sight=Sight(),
        frames=8,
        side=16,
        window=16,
        augmentation=Augmentation(),
        pseudo_anomalies=PseudoAnomalies(),
        seed=0,
    )
    light = sum(windows[n][0].max().item() > 0 for n in range(200))
    assert 30 <= light <= 70


def test_one_draw_of_augmentation_holds_for_all_frames_of_a_run():
    frame = np.random.default_rng(3).integers(0, 200, (48, 64), dtype=np.uint8)
    strong = Augmentation(smallest_crop=0.5, brightness=0.5, blur_chance=1.0, strongest_blur=2.0)
    for seed in range(5):
        clip = strong([frame] * 6, Sight(), side=32, window=32, random=np.random.default_rng(seed))
        assert clip.shape == (6, 32, 32)
        assert (clip == clip[0]).all()


def test_a_window_is_a_part_of_the_frame_at_the_frames_own_scale():
    frame = np.random.default_rng(3).integers(0, 200, (32, 32), dtype=np.uint8)
    off = Augmentation(smallest_crop=1.0, brightness=0.0, blur_chance=0.0)
    (part,) = off([frame], Sight(), side=32, window=8, random=np.random.default_rng(0))
    parts = np.lib.stride_tricks.sliding_window_view(frame, (8, 8)).reshape(-1, 8, 8)
    assert any(np.array_equal(part, other) for other in parts)


def test_augmentation_differs_from_draw_to_draw_and_can_be_turned_off():
    frame = np.random.default_rng(3).integers(0, 200, (32, 32), dtype=np.uint8)
    usual = Augmentation()
    draws = [
        usual([frame], Sight(), side=32, window=32, random=np.random.default_rng(seed))
        for seed in (0, 1)
    ]
    assert not np.array_equal(*draws)
    off = Augmentation(smallest_crop=1.0, brightness=0.0, blur_chance=0.0)
    (same,) = off([frame], Sight(), side=32, window=32, random=np.random.default_rng(0))
    assert np.array_equal(same, frame)
