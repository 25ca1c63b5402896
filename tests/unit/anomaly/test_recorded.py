"""Recorded clips of a camera -> what is learnt from, and what is held out."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.anomaly.training.footage import Recording, read_frame
from services.anomaly.training.inventions import SHORTEST
from services.anomaly.training.recorded import clips_of, divide, fetch
from shared.blobs import FolderBlobs
from shared.clock import SECOND_US
from shared.errors import Conflict
from shared.recorded_clip import JUDGED_FRAMES, clip_key, least_frames
from tests.tiny_stae import FPS, FRAMES, START_US, record, street

FOOTAGE = "footage/gate/1"


def recording(*numbers: int) -> Recording:
    return Recording(str(numbers[0]), tuple(Path(f"{n}.jpg") for n in numbers))


def numbers_in(recordings) -> list[int]:
    return [int(path.stem) for one in recordings for path in one.frames]


def fetched(tmp_path) -> list[Recording]:
    blobs = FolderBlobs(tmp_path / "blobs")
    return fetch(blobs, FOOTAGE, tmp_path / "frames", fps=FPS, unwatched=())


def test_clips_that_follow_one_another_are_one_recording(tmp_path):
    record(tmp_path / "blobs", FOOTAGE, street(24))
    (one,) = fetched(tmp_path)
    assert len(one) == 24
    assert read_frame(one.frames[5])[44, 7] < 150 < read_frame(one.frames[5])[10, 7]


def test_a_gap_begins_a_recording_of_its_own_and_a_repeated_clip_counts_once(tmp_path):
    later = START_US + 60 * SECOND_US
    for start_us in (START_US, START_US, later):
        record(tmp_path / "blobs", FOOTAGE, street(16), start_us=start_us)
    record(tmp_path / "blobs", FOOTAGE, street(16)[4:], start_us=later + 4 * SECOND_US // FPS)
    assert [len(one) for one in fetched(tmp_path)] == [16, 16]


async def test_a_clip_that_cannot_be_read_is_a_gap(tmp_path):
    blobs = FolderBlobs(tmp_path / "blobs")
    await blobs.put(clip_key(FOOTAGE, START_US), b"not a clip")
    assert await blobs.below(FOOTAGE) == [f"{FOOTAGE}/{START_US:020d}"]
    assert await blobs.below("footage/door") == []


def test_the_end_is_held_out_with_a_clip_between():
    found = divide([recording(*range(4000))], 0.25, clip=8)
    learnt, held_out = numbers_in(found.learnt), numbers_in(found.held_out)
    assert learnt == list(range(3000))
    assert held_out == list(range(3008, 4000))
    assert (found.frames, found.start_us, found.end_us) == (4000, 0, 3999)


def test_what_is_held_out_is_later_than_all_that_is_learnt_whatever_the_pieces():
    pieces = [recording(*range(start, start + 110)) for start in range(0, 4800, 120)]
    found = divide(pieces, 0.25, clip=8)
    assert max(numbers_in(found.learnt)) + 8 <= min(numbers_in(found.held_out))
    assert all(len(one) >= 16 for one in found.learnt)
    assert all(len(one) >= JUDGED_FRAMES for one in found.held_out)


def test_clips_to_be_judged_on_share_no_frame():
    clips = clips_of([recording(*range(40)), recording(*range(50, 60))], 16)
    assert [numbers_in([clip]) for clip in clips] == [list(range(16)), list(range(16, 32))]


def test_what_a_model_is_judged_on_is_long_enough_for_an_invention():
    assert JUDGED_FRAMES >= SHORTEST


def test_the_stated_least_is_enough_and_less_is_refused():
    least = least_frames(FRAMES)
    divide([recording(*range(least))], 0.25, clip=FRAMES)
    with pytest.raises(Conflict) as refused:
        divide([recording(*range(least - 4 * FRAMES))], 0.25, clip=FRAMES)
    assert refused.value.code == "too_little_footage"
    with pytest.raises(Conflict):
        divide([], 0.25, clip=FRAMES)
    with pytest.raises(Conflict, match="follow one another"):
        divide([recording(*range(n, n + 15)) for n in range(0, 9000, 30)], 0.25, clip=FRAMES)
