"""A stored model and a labelled data set -> how well its errors tell abnormal from normal."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from services.anomaly.core.alarms import AlarmCount, count_alarms
from services.anomaly.core.evaluation import ScoredVideo, ThreeSeparations, separations
from services.anomaly.scorer import Scorer
from services.anomaly.training.baselines import StandardisedDifference, mean_difference
from services.anomaly.training.footage import Recording, recordings
from services.anomaly.training.labels import frame_labels
from services.anomaly.training.scoring import recording_errors, window_starts
from shared.inference import Provider, open_session

if TYPE_CHECKING:
    from pathlib import Path

    from shared.model_store import StoredModel


@dataclass(frozen=True)
class Evaluation:
    """videos: the model's errors. baselines: by name, what needs no learning.

    alarms: at the card's q999. frames_per_s: through decoding, resizing, the network and the maps,
    each frame counted once per window that it is in; a camera's stride divides it.
    """

    videos: tuple[ScoredVideo, ...]
    model: ThreeSeparations
    baselines: dict[str, ThreeSeparations]
    alarms: AlarmCount
    frames_per_s: float

    @property
    def frames(self) -> int:
        return sum(len(video.errors) for video in self.videos)

    def figures(self, fps: float) -> dict[str, float]:
        """What `--json` prints; fractions between 0 and 1. `eer` is the video-normalised one, as
        it stands beside published figures."""
        return {
            "auc_video_normalised": self.model.video_normalised.auc,
            "auc_raw": self.model.raw.auc,
            "auc_macro": self.model.macro.auc,
            "eer": self.model.video_normalised.eer,
            "eer_raw": self.model.raw.eer,
            "eer_macro": self.model.macro.eer,
            "event_recall_at_q999": self.alarms.recall,
            "false_alarms_per_hour_at_q999": self.alarms.false_alarms_per_hour(fps),
            "frames": self.frames,
            "frames_per_s": self.frames_per_s,
        }


ErrorsOf = Callable[[Recording], NDArray[np.float64]]

MERGE_GAP = 16
"""Alarms less than a clip apart are one alarm."""


def evaluate(
    model: StoredModel, folder: Path, *, stride: int, say: Callable[[str], None]
) -> Evaluation:
    """folder: DIR with Test and labels, and Train for the baseline that needs it.

    stride: frames between the windows of a test video. say: hears a line for every video.
    Raises Missing (`no_footage`, `no_labels`) and Malformed (`labels_mismatch`, `one_class`).
    """
    scorer = Scorer(model, open_session(model.path, provider=Provider.CPU))
    tests = recordings(folder, "Test")
    labels = frame_labels(folder, tests)
    started = time.perf_counter()
    videos = []
    for recording, abnormal in zip(tests, labels, strict=True):
        errors = recording_errors(scorer, recording, stride=stride)
        videos.append(ScoredVideo(recording.name, errors, abnormal))
        say(f"{recording.name}  {len(recording)} frames, mean error {errors.mean():.5f}")
    elapsed_s = time.perf_counter() - started
    clip = scorer.frames_per_clip
    passed = sum(clip * len(window_starts(len(t), clip=clip, stride=stride)) for t in tests)
    return Evaluation(
        videos=tuple(videos),
        model=separations(videos),
        baselines=_baselines(folder, videos, tests),
        alarms=count_alarms(videos, threshold=scorer.prior.frame.q999, merge_gap=MERGE_GAP),
        frames_per_s=passed / elapsed_s,
    )


def _baselines(
    folder: Path, videos: Sequence[ScoredVideo], tests: Sequence[Recording]
) -> dict[str, ThreeSeparations]:
    errors_of: dict[str, ErrorsOf] = {"mean frame difference": mean_difference}
    if (folder / "Train").is_dir():
        training = recordings(folder, "Train")
        errors_of["standardised frame difference"] = StandardisedDifference(training)
    return {
        name: separations(
            [
                ScoredVideo(video.name, of(recording), video.abnormal)
                for video, recording in zip(videos, tests, strict=True)
            ]
        )
        for name, of in errors_of.items()
    }
