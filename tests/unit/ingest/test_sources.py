from __future__ import annotations

import cv2
import numpy as np
import pytest

from services.ingest.sources import CLIP_PAUSE_S, open_source
from shared.errors import Missing, UnsupportedMedia
from shared.images import decode


def picture(value: int) -> np.ndarray:
    return np.full((48, 64, 3), value, np.uint8)


def test_images_come_in_the_order_of_their_names_as_they_are(tmp_path):
    for n in (3, 1, 2):
        cv2.imwrite(str(tmp_path / f"{n:03}.jpg"), picture(n * 50))
    source = open_source(str(tmp_path), fps=5)
    frames = list(source.frames())
    assert [frame.offset_s for frame in frames] == [0.0, 0.2, 0.4]
    assert frames[0].body == (tmp_path / "001.jpg").read_bytes()
    assert (source.total, source.duration_s) == (3, pytest.approx(0.6))


def test_clips_of_a_folder_of_folders_are_set_apart(tmp_path):
    for clip in ("b", "a"):
        (tmp_path / clip).mkdir()
        for n in range(2):
            cv2.imwrite(str(tmp_path / clip / f"{n}.png"), picture(10))
    frames = list(open_source(str(tmp_path), fps=10).frames())
    assert [frame.part for frame in frames] == ["a", "a", "b", "b"]
    assert frames[2].offset_s - frames[1].offset_s > CLIP_PAUSE_S


def test_other_image_kinds_are_made_jpeg(tmp_path):
    cv2.imwrite(str(tmp_path / "0.tif"), picture(120))
    (frame,) = open_source(str(tmp_path), fps=None).frames()
    assert decode(frame.body, "gray").mean() == pytest.approx(120, abs=2)


def test_a_video_keeps_its_own_rate(tmp_path):
    file = str(tmp_path / "x.avi")
    writer = cv2.VideoWriter(file, cv2.VideoWriter_fourcc(*"MJPG"), 8, (64, 48))
    for n in range(10):
        writer.write(picture(20 * n))
    writer.release()
    source = open_source(file, fps=None)
    frames = list(source.frames())
    assert [frame.offset_s for frame in frames] == pytest.approx([n / 8 for n in range(10)])
    assert source.total == 10
    assert decode(frames[9].body, "gray").mean() == pytest.approx(180, abs=4)


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(Missing, match="nowhere"):
        open_source(str(tmp_path / "nowhere"), fps=None)


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(Missing, match="no images"):
        open_source(str(tmp_path), fps=None)


def test_a_file_that_is_no_video_is_refused(tmp_path):
    (tmp_path / "x.mp4").write_bytes(b"not a video")
    with pytest.raises(UnsupportedMedia):
        open_source(str(tmp_path / "x.mp4"), fps=None)


@pytest.mark.data
def test_the_real_street_video_opens(data):
    source = open_source(str(data("PETS09_S2L1", "vtest_480x360.mp4")), fps=None)
    first = next(source.frames())
    assert (source.total, source.duration_s) == (795, pytest.approx(79.5))
    assert decode(first.body, "rgb").shape == (360, 480, 3)
