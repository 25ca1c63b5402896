from __future__ import annotations

import cv2
import numpy as np
import pytest

from services.anomaly.training.footage import Recording
from services.anomaly.training.masks import pixel_masks
from services.anomaly.training.protocols import PREFIX, TestClip, padded, test_set
from shared.errors import Malformed, Missing

test_set.__test__ = False


def write_index(folder, rows):
    folder.mkdir(exist_ok=True)
    lines = "\n".join(",".join(map(str, row)) for row in rows)
    (folder / "index.csv").write_text(f"clip,frame,accident,path\n{lines}\n")


def rows_of(clip, accidents):
    return [(clip, n + 1, flag, f"{clip}/{n + 1:04}.jpg") for n, flag in enumerate(accidents)]


def test_an_index_gives_clips_in_the_order_of_their_frames_with_their_normal_prefix(tmp_path):
    rows = [*rows_of("b", [0, 0, 1, 0]), *rows_of("a", [0] * 12)]
    write_index(tmp_path, rows[::-1])
    quiet, crash = test_set("clip-prefix", tmp_path).clips
    assert (quiet.recording.name, crash.recording.name) == ("a", "b")
    assert quiet.recording.frames[9:11] == (tmp_path / "a/0010.jpg", tmp_path / "a/0011.jpg")
    assert crash.abnormal.tolist() == [False, False, True, False]
    assert (quiet.normal_prefix, crash.normal_prefix) == (12, 2)


def test_a_clip_that_begins_with_its_accident_is_left_out_and_named(tmp_path):
    write_index(tmp_path, [*rows_of("early", [1, 0]), *rows_of("late", [0, 1])])
    tests = test_set("clip-prefix", tmp_path)
    assert [clip.recording.name for clip in tests.clips] == ["late"]
    assert "early" in tests.remarks[0]
    write_index(tmp_path, rows_of("early", [1, 0]))
    with pytest.raises(Missing, match="begins with normal"):
        test_set("clip-prefix", tmp_path)


def test_an_index_that_is_missing_or_no_index_says_so(tmp_path):
    with pytest.raises(Missing, match=r"index\.csv"):
        test_set("clip-prefix", tmp_path)
    (tmp_path / "index.csv").write_text("clip,frame,path\na,1,a/1.jpg\n")
    with pytest.raises(Malformed, match="accident"):
        test_set("clip-prefix", tmp_path)
    with pytest.raises(Missing, match="folder, clip-prefix"):
        test_set("leave-one-out", tmp_path)


def clip_of(abnormal, normal_prefix=0):
    frames = tuple(range(len(abnormal)))
    return TestClip(Recording("c", frames), np.array(abnormal, dtype=bool), normal_prefix)


def test_the_reference_is_known_normal_and_does_not_count():
    errors = np.array([1.0, 2.0, 3.0, 2.0, 9.0, 2.0])
    clip = clip_of([0, 0, 0, 0, 1, 1], normal_prefix=4)
    judged = clip.judged(errors, prefix=3)
    assert judged.abnormal.tolist() == [False, True, True]
    assert judged.errors[0] == 0.0
    assert judged.errors[1] == pytest.approx(7 / 1.4826)
    assert len(clip.judged(errors, prefix=8).errors) == 2, "no abnormal frame is a reference"
    assert len(clip_of([0, 0], normal_prefix=2).judged(errors[:2], prefix=8).errors) == 1


def test_without_a_normal_prefix_errors_are_compared_as_they_are():
    errors = np.array([1.0, 2.0])
    judged = clip_of([0, 1]).judged(errors, prefix=PREFIX)
    assert (judged.errors.tolist(), judged.abnormal.tolist()) == ([1.0, 2.0], [False, True])


def test_a_short_clip_begins_with_copies_of_its_first_frame():
    assert padded(Recording("c", ("1", "2")), to=4).frames == ("1", "1", "1", "2")
    assert padded(Recording("c", ("1", "2")), to=2).frames == ("1", "2")


MASKS = np.random.default_rng(0).random((3, 6, 16)) < 0.3


def test_masks_are_the_same_packed_or_as_pictures(tmp_path):
    recording = Recording("Test001", ("1", "2", "3"))
    assert pixel_masks(tmp_path, recording) is None
    (tmp_path / "Test" / "Test001_gt").mkdir(parents=True)
    assert pixel_masks(tmp_path, recording) is None
    np.savez(tmp_path / "Test" / "pixel_masks_packbits.npz", Test001=np.packbits(MASKS, axis=-1))
    packed = pixel_masks(tmp_path, recording)
    assert pixel_masks(tmp_path, Recording("Test002", ("1",))) is None
    for n, mask in enumerate(MASKS):
        # Frames 8, 9 and 10: by their numbers, not by the alphabet.
        file = tmp_path / "Test" / "Test001_gt" / f"{n + 8}.bmp"
        cv2.imwrite(str(file), mask.astype(np.uint8) * 255)
    pictures = pixel_masks(tmp_path, recording)
    assert np.array_equal(packed, MASKS)
    assert np.array_equal(pictures, MASKS)


def test_masks_that_do_not_match_the_frames_are_refused(tmp_path):
    (tmp_path / "Test").mkdir()
    np.savez(tmp_path / "Test" / "pixel_masks_packbits.npz", Test001=np.packbits(MASKS, axis=-1))
    with pytest.raises(Malformed, match="3 masks for 2 frames"):
        pixel_masks(tmp_path, Recording("Test001", ("1", "2")))


def test_the_real_ped2_masks_mark_the_frames_that_are_labelled(data):
    folder = data("UCSDped2")
    tests = test_set("folder", folder)
    assert len(tests.clips) == 12
    for clip in tests.clips:
        masks = tests.masks(clip.recording)
        assert masks.shape[1:] == (240, 360)
        assert np.array_equal(masks.any(axis=(1, 2)), clip.abnormal)


def test_the_real_accident_clips_are_thirteen_with_a_prefix_and_three_without(data):
    tests = test_set("clip-prefix", data("cctv_accident"))
    assert len(tests.clips) == 13
    assert tests.remarks[0].endswith("test2, test21, test5")
    assert all(path.exists() for clip in tests.clips for path in clip.recording.frames)
