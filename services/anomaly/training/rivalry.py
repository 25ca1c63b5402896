"""Two stored models and a camera's held-out clips -> their contest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from services.anomaly.core.contest import Contest, contest
from services.anomaly.core.evaluation import ScoredVideo
from services.anomaly.scorer import Scorer
from services.anomaly.training.footage import read_frame
from services.anomaly.training.staging import STAGINGS
from shared.inference import Provider, open_session

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from services.anomaly.training.footage import Recording
    from shared.images import Pixels
    from shared.model_store import StoredModel

MOST_CLIPS = 200
"""Spread evenly over what is held out: more narrow the interval by less than they cost."""


def rivalry(
    serving: StoredModel,
    candidate: StoredModel,
    clips: Sequence[Recording],
    *,
    seed: int,
    report: Callable[[int, int], None],
) -> Contest:
    """clips: of 2 T frames. Both models see the same inventions. report: hears (done, of)."""
    scorers = [
        Scorer(model, open_session(model.path, provider=Provider.CPU))
        for model in (serving, candidate)
    ]
    every = -(-len(clips) // MOST_CLIPS)
    drawn = clips[::every]
    videos: list[list[ScoredVideo]] = [[], []]
    for n, clip in enumerate(drawn):
        takes = _takes(clip, np.random.default_rng((seed, n)))
        for found, scorer in zip(videos, scorers, strict=True):
            found.append(_scored(scorer, clip, takes))
        report(n + 1, len(drawn))
    return contest(*videos)


def _takes(clip: Recording, random: np.random.Generator) -> list[tuple[bool, Sequence[Pixels]]]:
    """(is it staged, T frames): both halves as they were filmed, and all that is staged in them."""
    frames = np.stack([read_frame(path) for path in clip.frames])
    half = len(frames) // 2
    staged = [(True, list(stage(frames, random))) for stage in STAGINGS.values()]
    return [(False, list(frames[:half])), (False, list(frames[half:])), *staged]


def _scored(
    scorer: Scorer, clip: Recording, takes: Sequence[tuple[bool, Sequence[Pixels]]]
) -> ScoredVideo:
    errors = [scorer.score(frames, clip.unwatched).frame_errors for _, frames in takes]
    abnormal = [np.full(len(frames), staged) for staged, frames in takes]
    return ScoredVideo(clip.name, np.concatenate(errors), np.concatenate(abnormal))
