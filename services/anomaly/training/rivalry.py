"""Two stored models and a camera's held-out clips -> their contest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from services.anomaly.core.contest import Contest, contest
from services.anomaly.core.evaluation import ScoredVideo
from services.anomaly.scorer import Scorer, View
from services.anomaly.training.footage import read_frame
from services.anomaly.training.inventions import INVENTORS, invent
from services.anomaly.training.recorded import captured_us
from services.anomaly.training.scoring import window_starts
from shared.errors import Malformed
from shared.images import stencil
from shared.inference import Provider, open_session

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from services.anomaly.core.clip import GrayClip
    from services.anomaly.training.footage import Recording
    from shared.model_store import StoredModel

MOST_CLIPS = 40
"""Spread evenly over what is held out: more narrow the interval by less than they cost."""


@dataclass(frozen=True, eq=False)
class Take:
    """A clip as it was filmed, or with something invented in it. counted: (F,), the frames whose
    errors are compared: all, or those that show the invention."""

    frames: GrayClip
    counted: NDArray[np.bool_]
    invented: bool


def rivalry(
    serving: StoredModel,
    candidate: StoredModel,
    clips: Sequence[Recording],
    *,
    seed: int,
    report: Callable[[int, int], None],
) -> Contest:
    """clips: of SHORTEST frames or more. Both models see the same inventions. report: hears (done,
    of). Raises Malformed (`nothing_to_invent`) where nobody is in any of them."""
    scorers = [
        Scorer(model, open_session(model.path, provider=Provider.CPU))
        for model in (serving, candidate)
    ]
    drawn = clips[:: -(-len(clips) // MOST_CLIPS)]
    videos: list[list[ScoredVideo]] = [[], []]
    for n, clip in enumerate(drawn):
        takes = takes_of(clip, np.random.default_rng((seed, n)))
        for found, scorer in zip(videos, scorers, strict=True):
            found.append(_scored(scorer, clip, takes))
        report(n + 1, len(drawn))
    if not any(video.abnormal.any() for video in videos[0]):
        raise Malformed(
            f"nobody moves in any of {len(drawn)} held-out clips, so nothing can be invented to"
            " judge the models by; record at a busier time",
            code="nothing_to_invent",
        )
    return contest(*videos)


def takes_of(clip: Recording, random: np.random.Generator) -> list[Take]:
    """The clip, and all kinds of inventions that can be made in it. What happens where nothing
    counts is none."""
    frames = np.stack([read_frame(path) for path in clip.frames])
    height, width = frames.shape[1:]
    watched = ~stencil(clip.unwatched, width, height)
    takes = [Take(frames, np.ones(len(frames), np.bool_), invented=False)]
    for kind in INVENTORS:
        found = invent(kind, frames, random)
        if found is not None:
            shown = np.any(found.masks & watched, axis=(1, 2))
            takes.append(Take(found.frames, shown, invented=True))
    return takes


def _scored(scorer: Scorer, clip: Recording, takes: Sequence[Take]) -> ScoredVideo:
    errors = [_errors(scorer, clip, take)[take.counted] for take in takes]
    abnormal = [np.full(take.counted.sum(), take.invented) for take in takes]
    return ScoredVideo(clip.name, np.concatenate(errors), np.concatenate(abnormal))


def _errors(scorer: Scorer, clip: Recording, take: Take) -> NDArray[np.float32]:
    """(F,), by windows side by side and at their times, as a camera's are."""
    length = scorer.frames_per_clip
    times = captured_us(clip)
    errors = np.empty(len(take.frames), np.float32)
    for start in window_starts(len(take.frames), clip=length, stride=length):
        window = slice(start, start + length)
        view = View(list(take.frames[window]), clip.unwatched, times[window])
        errors[window] = scorer.score_batch([view])[0].frame_errors
    return errors
