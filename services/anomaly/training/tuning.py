"""The job camera.train: recorded footage -> fine-tuned weights -> a contest -> the camera's model

A process that dies is followed by another, which goes on from the last checkpoint; the plan and the
result lie in the job's folder, so that no step is taken twice with another outcome.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch

from services.anomaly.core.clip import to_network_input
from services.anomaly.models.stae import LEAKY_SLOPE
from services.anomaly.settings import AnomalySettings
from services.anomaly.training.activation import serving_model, take_over
from services.anomaly.training.allocator import keep_freed_memory
from services.anomaly.training.candidate import Origin, candidate_of, metrics_of
from services.anomaly.training.footage import read_frame
from services.anomaly.training.recorded import clips_of, divide, fetch
from services.anomaly.training.rivalry import rivalry
from services.anomaly.training.settings import Stage, TrainingSettings
from services.anomaly.training.trainer import Trainer
from services.anomaly.training.warm_start import warm_network
from services.anomaly.training.windows import Source
from shared.blobs import FolderBlobs
from shared.courtesy import Courtesy, patiently
from shared.durable_file import write_durably
from shared.model_store import ModelStore
from shared.recorded_clip import JUDGED_FRAMES
from shared.topics import Group
from shared.tunable import check_tunable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from services.anomaly.core.contest import Contest
    from services.anomaly.training.footage import Recording
    from services.anomaly.training.recorded import CameraFootage
    from services.anomaly.tuning import TuningParams
    from shared.jobs import JobContext
    from shared.model_store import StoredModel

ON_WINDOWS = 0.8
"""Share of the steps on windows of half the side, each a quarter of the work; then whole frames."""

BATCH = 2

STATISTICS_CLIPS = 8
"""From which the batch norms take their statistics: they move on from there by every batch."""

SAVE_EVERY = 50

TRAINED = 0.8
"""Of the job's progress, when the last step is done."""


@dataclass(frozen=True)
class Plan:
    """Settled once for a job. base: the model that serves the camera when it begins. name: of the
    model that it makes."""

    base: str
    name: str


def tune(params: TuningParams, context: JobContext) -> dict[str, Any]:
    """Raises Conflict (`too_little_footage`, `not_trainable`), Malformed (`nothing_to_invent`)."""
    done = context.folder / "result.json"
    if done.exists():
        result: dict[str, Any] = json.loads(done.read_text())
        return result
    settings = AnomalySettings()
    cv2.setNumThreads(1)
    torch.set_num_threads(settings.training_threads)
    keep_freed_memory()
    frames = context.folder / "frames"
    try:
        result = _tune(params, context, settings)
    finally:
        # People are on them: the copy goes with the process, the recording when the job has ended.
        shutil.rmtree(frames, ignore_errors=True)
    write_durably(done, json.dumps(result).encode())
    for leftover in ("candidate", "work"):
        shutil.rmtree(context.folder / leftover, ignore_errors=True)
    return result


def _tune(params: TuningParams, context: JobContext, settings: AnomalySettings) -> dict[str, Any]:
    store = ModelStore(*settings.model_folders)
    plan = _plan(params.camera_id, context, settings, store)
    base = store.load(plan.base)
    check_tunable(base.card)
    clip = base.card.input.shape[2]
    fetching = partial(
        fetch,
        FolderBlobs(settings.blobs),
        params.footage,
        context.folder / "frames",
        fps=params.fps,
        unwatched=params.unwatched,
    )
    footage = divide(patiently(fetching, context), params.held_out, clip=clip)
    trainer = _trained(base, footage, params, context, settings)
    context.report(TRAINED, 1, "exports the network and reads its errors on held-out footage")
    origin = Origin(base, params.camera_id, context.job_id, footage, params.fps, params.held_out)
    candidate = candidate_of(trainer, plan.name, origin, context.folder / "candidate")
    context.checkpoint()
    found = _contest(base, candidate, footage.held_out, params.seed, context)
    context.checkpoint()
    activated = False
    if found.is_won:
        card = candidate.card.model_copy(update=metrics_of(found, candidate.card))
        store.save(card, candidate.path)
        activated = params.activate and patiently(
            lambda: take_over(plan.base, plan.name, params.camera_id, settings), context
        )
    return _result(plan, footage, found, activated=activated)


def _plan(
    camera_id: str, context: JobContext, settings: AnomalySettings, store: ModelStore
) -> Plan:
    path = context.folder / "plan.json"
    if not path.exists():
        base = patiently(lambda: serving_model(camera_id, settings), context)
        plan = Plan(base, _free_name(store, base, camera_id))
        write_durably(path, json.dumps(asdict(plan)).encode())
    return Plan(**json.loads(path.read_text()))


def _free_name(store: ModelStore, base: str, camera_id: str) -> str:
    """ROOT-CAMERA-N. No name is used twice: the history of activations knows models by them."""
    lineage = store.load(base).card.settings.get("lineage", {})
    stem = f"{lineage.get('root', base)}-{camera_id}"
    numbers = [name.removeprefix(f"{stem}-") for name in store.names if name.startswith(f"{stem}-")]
    newest = max((int(number) for number in numbers if number.isdecimal()), default=0)
    return f"{stem}-{newest + 1}"


def _trained(
    base: StoredModel,
    footage: CameraFootage,
    params: TuningParams,
    context: JobContext,
    settings: AnomalySettings,
) -> Trainer:
    wanted = _settings_for(base, params)
    source = Source(params.camera_id, footage.learnt, share=1.0)
    trainer = Trainer(wanted, [source], context.folder / "work")
    if trainer.step == 0:
        clips = _sample(footage.learnt, wanted)
        warm = warm_network(base.path, clips, leaky_slope=wanted.leaky_slope)
        trainer.network.load_state_dict(warm.state_dict())
    courtesy = Courtesy(settings, Group.ANOMALY, settings.training_waits_at)

    def after_step(line: str) -> None:
        context.report(TRAINED * trainer.step, wanted.steps, line)
        context.checkpoint()
        courtesy.yield_to_clips(context)

    try:
        trainer.run(after_step, every_steps=1, save_every=SAVE_EVERY)
    finally:
        courtesy.close()
    return trainer


def _settings_for(base: StoredModel, params: TuningParams) -> TrainingSettings:
    _, _, frames, side, _ = base.card.input.shape
    whole = max(1, params.steps - round(ON_WINDOWS * params.steps))
    stages = [Stage(steps=whole, window=side, batch=BATCH)]
    half = side // 2 - side // 2 % 8
    if half and params.steps > whole:
        stages.insert(0, Stage(steps=params.steps - whole, window=half, batch=BATCH))
    return TrainingSettings(
        frames=frames,
        side=side,
        stages=tuple(stages),
        learning_rate=params.learning_rate,
        leaky_slope=base.card.settings.get("leaky_slope", LEAKY_SLOPE),
        seed=params.seed,
    )


def _sample(learnt: Sequence[Recording], wanted: TrainingSettings) -> Tensor:
    """(B, 1, T, H, W) of clips that are spread evenly over what is learnt."""
    clips = clips_of(learnt, wanted.frames)
    drawn = clips[:: -(-len(clips) // STATISTICS_CLIPS)]
    pixels = [
        wanted.sight.clip(
            [read_frame(path) for path in clip.frames],
            width=wanted.side,
            height=wanted.side,
        )
        for clip in drawn
    ]
    return torch.from_numpy(np.stack([to_network_input(clip) for clip in pixels]))


def _contest(
    base: StoredModel,
    candidate: StoredModel,
    held_out: Sequence[Recording],
    seed: int,
    context: JobContext,
) -> Contest:
    def report(done: int, of: int) -> None:
        context.report(TRAINED + (1 - TRAINED) * done / of, 1, f"contest: clip {done} of {of}")
        context.checkpoint()

    clips = clips_of(held_out, JUDGED_FRAMES)
    return rivalry(base, candidate, clips, seed=seed, report=report)


def _result(
    plan: Plan, footage: CameraFootage, found: Contest, *, activated: bool
) -> dict[str, Any]:
    return {
        "base": plan.base,
        "model": plan.name if found.is_won else None,
        "better": found.is_won,
        "activated": activated,
        "why_not": list(found.faults),
        "frames": footage.frames,
        "start_us": footage.start_us,
        "end_us": footage.end_us,
        "contest": {
            "serving": asdict(found.serving),
            "candidate": asdict(found.candidate),
            "clips": found.clips,
            "gain": found.gain,
            "gain_low": found.interval.low,
            "gain_high": found.interval.high,
        },
    }
