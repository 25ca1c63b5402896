"""A camera's recorded clips -> recordings to learn from, and later ones to be judged on.

What is held out is the end of the footage: a model will be asked about what comes, not about what
lies between two things that it knows.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

import ormsgpack
import structlog
from pydantic import ValidationError

from services.anomaly.training.footage import Recording
from shared.clock import SECOND_US
from shared.errors import Conflict
from shared.recorded_clip import JUDGED_FRAMES, LEAST_CLIPS, RecordedClip

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from shared.blobs import BlobStore
    from shared.messages import Polygon

log = structlog.get_logger(__name__)

LONGEST_GAP = 3.5
"""Intervals between two frames of one recording: as far as a clip may span, and a little late."""


@dataclass(frozen=True)
class CameraFootage:
    """learnt: recordings of 2 T frames or more. held_out: later ones, of JUDGED_FRAMES or more.
    start_us, end_us: the first and last frame of all."""

    learnt: tuple[Recording, ...]
    held_out: tuple[Recording, ...]
    frames: int
    start_us: int
    end_us: int


def fetch(
    blobs: BlobStore, footage: str, folder: Path, *, fps: float, unwatched: tuple[Polygon, ...]
) -> list[Recording]:
    """Copies the recorded clips into a folder, a file a frame; unbroken runs in their order.

    A clip that cannot be read is left out. Raises Unavailable where the store is away.
    """
    pictures = asyncio.run(_pictures(blobs, footage))
    folder.mkdir(parents=True, exist_ok=True)
    runs: list[list[Path]] = []
    last_us: int | None = None
    for captured_us in sorted(pictures):
        path = folder / f"{captured_us}.jpg"
        path.write_bytes(pictures[captured_us])
        if last_us is None or captured_us - last_us > LONGEST_GAP * SECOND_US / fps:
            runs.append([])
        runs[-1].append(path)
        last_us = captured_us
    return [Recording(run[0].stem, tuple(run), unwatched) for run in runs]


async def _pictures(blobs: BlobStore, footage: str) -> dict[int, bytes]:
    """By capture time: a clip that was stored twice counts once."""
    found: dict[int, bytes] = {}
    for key in await blobs.below(footage):
        try:
            clip = RecordedClip.unpack(await blobs.get(key))
        except (ValidationError, ormsgpack.MsgpackDecodeError) as error:
            log.warning("recorded_clip_unreadable", key=key, error=str(error))
            continue
        found |= dict(zip(clip.captured_us, clip.pictures, strict=True))
    return found


def divide(recordings: Sequence[Recording], held_out: float, *, clip: int) -> CameraFootage:
    """The last share of the frames is held out, with a clip's length between it and the rest.

    clip: T, the frames that the model takes. Raises Conflict (`too_little_footage`).
    """
    frames = sum(map(len, recordings))
    until = frames - round(held_out * frames)
    ends = accumulate(map(len, recordings))
    learnt, spared = [], []
    for recording, end in zip(recordings, ends, strict=True):
        cut = until - (end - len(recording))
        learnt.append(_part(recording, 0, cut))
        spared.append(_part(recording, cut + clip if cut > 0 else 0, len(recording)))
    footage = CameraFootage(
        learnt=tuple(part for part in learnt if len(part) >= 2 * clip),
        held_out=tuple(part for part in spared if len(part) >= JUDGED_FRAMES),
        frames=frames,
        start_us=captured_us(recordings[0])[0] if recordings else 0,
        end_us=captured_us(recordings[-1])[-1] if recordings else 0,
    )
    if not footage.learnt or len(clips_of(footage.held_out, JUDGED_FRAMES)) < LEAST_CLIPS:
        raise Conflict(
            f"{frames} normal frames are too little: a window to learn from takes {2 * clip} that"
            f" follow one another, and the {held_out:.0%} held out must hold {LEAST_CLIPS} runs of"
            f" {JUDGED_FRAMES}; record for longer",
            code="too_little_footage",
        )
    return footage


def captured_us(recording: Recording) -> tuple[int, ...]:
    """Of each frame, by its file's name."""
    return tuple(int(path.stem) for path in recording.frames)


def clips_of(recordings: Sequence[Recording], frames: int) -> list[Recording]:
    """Runs of so many frames, none of which shares one with another."""
    return [
        _part(recording, start, start + frames)
        for recording in recordings
        for start in range(0, len(recording) - frames + 1, frames)
    ]


def _part(recording: Recording, start: int, end: int) -> Recording:
    frames = recording.frames[max(start, 0) : max(end, 0)]
    return Recording(frames[0].stem if frames else "", frames, recording.unwatched)
