"""A data set's folder -> test clips, and what a scorer may know of each before it judges it.

A protocol is a function from a folder to a test set; PROTOCOLS names them all. Everything else
about evaluation is the same for each.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from services.anomaly.core.evaluation import ScoredVideo
from services.anomaly.core.prefix import standardised
from services.anomaly.training.footage import Recording, recordings
from services.anomaly.training.labels import frame_labels
from services.anomaly.training.masks import pixel_masks
from shared.errors import Malformed, Missing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

PREFIX = 8
"""Frames of a clip's normal prefix that are its reference (ours): half a window of 16."""

INDEX = "index.csv"

SOURCES = "sources.json"


@dataclass(frozen=True, eq=False)
class TestClip:
    """abnormal: (F,). normal_prefix: frames at the start that the protocol tells to be normal, 0
    where it tells nothing: then errors are compared as they are. source: as ScoredVideo has it."""

    __test__ = False  # its name is not pytest's business

    recording: Recording
    abnormal: NDArray[np.bool_]
    normal_prefix: int = 0
    source: str = ""

    def judged(self, errors: NDArray[np.float64], *, prefix: int) -> ScoredVideo:
        """The frames that count. Errors are standardised by the first `prefix` frames, or by as
        many as are normal; these frames have served as reference and do not count."""
        reference = min(prefix, self.normal_prefix, len(errors) - 1)
        if reference > 0:
            errors = standardised(errors, reference=reference)
        abnormal = self.abnormal[reference:]
        return ScoredVideo(self.recording.name, errors[reference:], abnormal, self.source)


@dataclass(frozen=True, eq=False)
class TestSet:
    """training: normal footage of the same cameras, where there is any. pads: clips shorter than
    a window are lengthened by their first frame. masks: of a clip, (F, H, W), or None.
    remarks: what the protocol left out."""

    __test__ = False

    clips: tuple[TestClip, ...]
    masks: Callable[[Recording], NDArray[np.bool_] | None]
    training: tuple[Recording, ...] = ()
    pads: bool = False
    remarks: tuple[str, ...] = ()

    def filmed_at(self, fps: float) -> TestSet:
        """The same clips, at so many frames a second."""
        clips = [replace(clip, recording=replace(clip.recording, fps=fps)) for clip in self.clips]
        return replace(self, clips=tuple(clips))


def folder(root: Path) -> TestSet:
    """`Train/CLIP/*`, `Test/CLIP/*`, labels of frames, and pixel masks where there are any; and
    `Test/sources.json`, the recording that each clip was made of, where several were of one.

    Raises Missing (`no_footage`, `no_labels`) and Malformed (`labels_mismatch`).
    """
    tests = recordings(root, "Test")
    listed = root / "Test" / SOURCES
    sources = json.loads(listed.read_text()) if listed.exists() else {}
    clips = [
        TestClip(clip, labels, source=sources.get(clip.name, ""))
        for clip, labels in zip(tests, frame_labels(root, tests), strict=True)
    ]
    training = recordings(root, "Train") if (root / "Train").is_dir() else ()
    return TestSet(tuple(clips), lambda recording: pixel_masks(root, recording), training)


def clip_prefix(root: Path) -> TestSet:
    """`index.csv` (clip, frame, accident, path): short clips of many cameras, nothing to train on.

    A clip's frames are taken in the order of their numbers, as if none were missing between them.
    A frame is abnormal where `accident` is not 0; frames after an accident are normal again where
    the index says so. The frames before a clip's first accident are its normal prefix, and its
    only reference. A clip that begins with its accident has none; its errors have no unit in
    which they could stand beside others', so it is left out, and named.

    Raises Missing (`no_labels`, `no_footage`) and Malformed (`labels_mismatch`).
    """
    clips = _indexed(root)
    judged = tuple(clip for clip in clips if clip.normal_prefix)
    if not judged:
        raise Missing(f"no clip of {root / INDEX} begins with normal frames", code="no_footage")
    without = [clip.recording.name for clip in clips if not clip.normal_prefix]
    remark = f"left out, for they begin with their accident: {', '.join(without)}"
    remarks = (remark,) if without else ()
    return TestSet(judged, lambda _: None, pads=True, remarks=remarks)


PROTOCOLS: dict[str, Callable[[Path], TestSet]] = {"folder": folder, "clip-prefix": clip_prefix}


def test_set(protocol: str, root: Path) -> TestSet:
    """By the protocol's name. Raises Missing (`no_protocol`) where none has it."""
    if protocol not in PROTOCOLS:
        names = ", ".join(PROTOCOLS)
        raise Missing(f"no protocol {protocol}; there are {names}", code="no_protocol")
    return PROTOCOLS[protocol](root)


def padded(recording: Recording, *, to: int) -> Recording:
    """At least `to` frames, the first one repeated before the others."""
    missing = max(0, to - len(recording))
    return replace(recording, frames=(recording.frames[0],) * missing + recording.frames)


def _indexed(root: Path) -> list[TestClip]:
    file = root / INDEX
    if not file.exists():
        raise Missing(f"no {INDEX} in {root}", code="no_labels")
    try:
        with file.open(newline="") as lines:
            rows = [
                (row["clip"], int(row["frame"]), row["accident"] != "0", row["path"])
                for row in csv.DictReader(lines)
            ]
    except (KeyError, TypeError, ValueError) as error:
        raise Malformed(
            f"{file} is no list of clip, frame, accident and path: {error}", code="labels_mismatch"
        ) from error
    clips = []
    for name, group in groupby(sorted(rows), key=lambda row: row[0]):
        _, _, accidents, paths = zip(*group, strict=True)
        abnormal = np.array(accidents, dtype=np.bool_)
        normal_prefix = int(np.argmax(abnormal)) if abnormal.any() else len(abnormal)
        recording = Recording(name, tuple(root / path for path in paths))
        clips.append(TestClip(recording, abnormal, normal_prefix))
    return clips
