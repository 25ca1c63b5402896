"""The ground truth of a test set -> abnormal or not, for every frame of every recording."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from shared.errors import Malformed, Missing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from services.anomaly.training.footage import Recording

PATTERNS = ("labels.npy", "frame_labels*.npy", "*.m")
"""In this order of preference, in the data set's folder and then in its Test folder."""


def frame_labels(folder: Path, videos: Sequence[Recording]) -> tuple[NDArray[np.bool_], ...]:
    """One array per recording, True where the frame is abnormal.

    Read from an array of all frames (recordings concatenated in name order, non-zero is abnormal)
    or from UCSD's script of frame ranges. Raises Missing (`no_labels`), or Malformed
    (`labels_mismatch`) where labels and frames do not match.
    """
    file = _find(folder)
    lengths = [len(video) for video in videos]
    labels = _from_ranges(file, lengths) if file.suffix == ".m" else _from_array(file)
    if len(labels) != sum(lengths):
        raise Malformed(
            f"{file} labels {len(labels)} frames, but there are {sum(lengths)}",
            code="labels_mismatch",
        )
    return tuple(np.split(labels, np.cumsum(lengths)[:-1]))


def _find(folder: Path) -> Path:
    for pattern in PATTERNS:
        for place in (folder, folder / "Test"):
            if files := sorted(place.glob(pattern)):
                return files[0]
    raise Missing(f"no {' or '.join(PATTERNS)} in {folder} or its Test", code="no_labels")


def _from_array(file: Path) -> NDArray[np.bool_]:
    labels: NDArray[np.bool_] = np.load(file, allow_pickle=False).ravel() != 0
    return labels


def _from_ranges(file: Path, lengths: Sequence[int]) -> NDArray[np.bool_]:
    """`TestVideoFile{end+1}.gt_frame = [5:90, 140:200];`, one line per video, counted from 1."""
    lines = re.findall(r"gt_frame\s*=\s*\[([^\]]*)\]", file.read_text())
    if len(lines) != len(lengths):
        raise Malformed(
            f"{file} labels {len(lines)} videos, but there are {len(lengths)}",
            code="labels_mismatch",
        )
    labels = []
    for line, length in zip(lines, lengths, strict=True):
        abnormal = np.zeros(length, dtype=np.bool_)
        for first, last in re.findall(r"(\d+)\s*:\s*(\d+)", line):
            abnormal[int(first) - 1 : int(last)] = True
        labels.append(abnormal)
    return np.concatenate(labels)
