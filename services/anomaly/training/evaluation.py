"""A stored model and a test set -> how well its errors tell abnormal from normal."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.anomaly.core.alarms import AlarmCount, count_alarms
from services.anomaly.core.evaluation import ScoredVideo
from services.anomaly.scorer import Scorer
from services.anomaly.training.baselines import StandardisedDifference, mean_difference
from services.anomaly.training.judge import Judge, JudgeSettings, Rows
from services.anomaly.training.protocols import padded
from services.anomaly.training.regimes import (
    Regime,
    RegimeSettings,
    Trace,
    Traces,
    frame_traces,
    model_traces,
)
from shared.inference import Provider, open_session

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from services.anomaly.training.footage import Recording
    from services.anomaly.training.protocols import TestSet
    from shared.model_store import StoredModel

MERGE_GAP = 16
"""Alarms less than a clip apart are one alarm."""


@dataclass(frozen=True)
class EvaluationSettings:
    regimes: RegimeSettings
    judge: JudgeSettings


@dataclass(frozen=True)
class Evaluation:
    """baselines: by name, what needs no learning. videos: every frame of every clip with the
    model's own error, in the model's unit; the rows hold what the protocol makes of it.

    alarms: of errors as served, at the card's q999. frames: of all clips. frames_per_s: through
    decoding, resizing, the network and the maps, each frame counted once per window that it is
    in; a camera's stride divides it. remarks: what was done to clips, and what is missing.
    """

    model: Rows
    baselines: dict[str, Rows]
    videos: dict[Regime, tuple[ScoredVideo, ...]]
    alarms: AlarmCount
    frames: int
    frames_per_s: float
    remarks: tuple[str, ...]


def evaluate(
    model: StoredModel, tests: TestSet, settings: EvaluationSettings, say: Callable[[str], None]
) -> Evaluation:
    """say: hears a line for every clip. Raises Malformed (`clip_too_short`, `masks_mismatch`,
    `one_class`)."""
    scorer = Scorer(model, open_session(model.path, provider=Provider.CPU))
    whole = [whole_recording(clip.recording, scorer, tests) for clip in tests.clips]
    started = time.perf_counter()
    traces = []
    for clip, recording in zip(tests.clips, whole, strict=True):
        traces.append(traces_of(scorer, recording, len(clip.recording), settings.regimes))
        mean = traces[-1][Regime.SERVED].errors.mean()
        say(f"{recording.name}  {len(clip.recording)} frames, mean error {mean:.5f}")
    elapsed_s = time.perf_counter() - started
    judge = Judge(tests, settings.judge)
    rows = judge.rows(traces)
    videos = {regime: _videos(tests, [trace[regime] for trace in traces]) for regime in Regime}
    threshold = scorer.prior.frame.q999
    return Evaluation(
        model=rows,
        baselines={
            name: judge.rows(found) for name, found in _baselines(tests, settings.regimes).items()
        },
        videos=videos,
        alarms=count_alarms(videos[Regime.SERVED], threshold=threshold, merge_gap=MERGE_GAP),
        frames=sum(len(clip.recording) for clip in tests.clips),
        frames_per_s=_passed(scorer, whole, settings.regimes) / elapsed_s,
        remarks=(*tests.remarks, *_padding(tests, whole), *_missing_masks(tests, rows)),
    )


def whole_recording(recording: Recording, scorer: Scorer, tests: TestSet) -> Recording:
    """As the scorer meets it: padded where the protocol does so."""
    return padded(recording, to=scorer.frames_per_clip) if tests.pads else recording


def traces_of(scorer: Scorer, whole: Recording, frames: int, settings: RegimeSettings) -> Traces:
    """What a scorer says of a recording. frames: of it, before it was padded."""
    traces = model_traces(scorer, whole, settings)
    return {regime: trace.after(len(whole) - frames) for regime, trace in traces.items()}


def _baselines(tests: TestSet, settings: RegimeSettings) -> dict[str, list[Traces]]:
    trace_of: dict[str, Callable[[Recording], Trace]] = {"mean frame difference": mean_difference}
    if tests.training:
        trace_of["standardised frame difference"] = StandardisedDifference(tests.training)
    return {
        name: [frame_traces(of(clip.recording), settings) for clip in tests.clips]
        for name, of in trace_of.items()
    }


def _videos(tests: TestSet, traces: Sequence[Trace]) -> tuple[ScoredVideo, ...]:
    return tuple(
        ScoredVideo(clip.recording.name, trace.errors, clip.abnormal)
        for clip, trace in zip(tests.clips, traces, strict=True)
    )


def _passed(scorer: Scorer, whole: Sequence[Recording], settings: RegimeSettings) -> int:
    clip = scorer.frames_per_clip
    return clip * sum(len(settings.starts(len(recording), clip=clip)) for recording in whole)


def _padding(tests: TestSet, whole: Sequence[Recording]) -> tuple[str, ...]:
    longer = [
        recording.name
        for clip, recording in zip(tests.clips, whole, strict=True)
        if len(recording) > len(clip.recording)
    ]
    if not longer:
        return ()
    why = "shorter than a window, so begun with copies of their first frame (a live camera's"
    return (f"{why} would be left unscored): {', '.join(longer)}",)


def _missing_masks(tests: TestSet, rows: Rows) -> tuple[str, ...]:
    row = rows[Regime.SERVED]
    if row.localisation is None:
        return ("no pixel masks of normal and abnormal frames, so no figures of localisation",)
    if row.located < len(tests.clips):
        return (f"localisation over the {row.located} clips that have pixel masks",)
    return ()
