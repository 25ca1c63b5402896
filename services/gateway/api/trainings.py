"""/v1/baselines/{camera_id}/train: weights of a camera's own, from its own footage, and back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Self

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from services.gateway.api.dependencies import CityDep, HistoryDep, ReadsCameras, WritesCameras
from services.gateway.city import City
from services.gateway.core.training import TrainingState, frames_in, least_minutes
from services.gateway.store import baselines, cameras, trainings
from services.gateway.store.cameras import camera_of
from services.gateway.store.resources import moment
from services.gateway.store.tables import TrainingRow
from shared.clock import SECOND_US, from_us, now_us
from shared.errors import Conflict, Malformed
from shared.model_store import ActivationMap, ModelCard, ModelStore
from shared.paging import Page
from shared.recorded_clip import least_frames
from shared.tunable import check_tunable

router = APIRouter(prefix="/v1/baselines", tags=["baselines"])

HOUR_US = 3600 * SECOND_US


class TrainingAsked(BaseModel):
    """minutes: of normal footage to learn from, recorded from now on: clips in which no frame
    reaches the close score of the rule in force, and the view shows no sign of tampering.
    within_hours: when recording is given up. steps, learning_rate: of fine-tuning. activate: a
    model that wins the contest serves the camera at once."""

    model_config = ConfigDict(extra="forbid")

    minutes: Annotated[float, Field(gt=0, le=240)] = 30.0
    within_hours: Annotated[float, Field(gt=0, le=24 * 14)] = 24.0
    steps: Annotated[int, Field(ge=1, le=20_000)] = 600
    learning_rate: Annotated[float, Field(gt=0, le=0.01)] = 2e-4
    activate: bool = True


THE_USUAL = TrainingAsked()


class Training(BaseModel):
    """A camera's training. frames, bytes: recorded so far; both are deleted at its end. progress,
    note: of recording, then of the job, 0 to 1. by: the id of a key.

    result: of the contest: `better`, `activated`, `why_not`, the new `model` and its `base`, and
    `contest`, the figures of both.
    """

    id: str
    camera_id: str
    state: TrainingState
    progress: float
    note: str
    frames: int
    frames_wanted: int
    bytes: int
    steps: int
    learning_rate: float
    activate: bool
    job_id: str | None
    result: dict[str, Any] | None
    error: str | None
    cancel_requested: bool
    by: str
    created_at: datetime
    gives_up_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, row: TrainingRow) -> Self:
        recording = row.state == TrainingState.RECORDING
        progress = min(row.frames / row.frames_wanted, 1.0) if recording else row.progress
        note = f"{row.frames} of {row.frames_wanted} normal frames recorded" if recording else ""
        return cls(
            id=row.id,
            camera_id=row.camera_id,
            state=TrainingState(row.state),
            progress=1.0 if row.state == TrainingState.SUCCEEDED else progress,
            note=row.note or note,
            frames=row.frames,
            frames_wanted=row.frames_wanted,
            bytes=row.bytes,
            steps=row.steps,
            learning_rate=row.learning_rate,
            activate=row.activate,
            job_id=row.job_id,
            result=row.result,
            error=row.error,
            cancel_requested=row.stop_reason is not None,
            by=row.actor,
            created_at=from_us(row.created_us),
            gives_up_at=from_us(row.deadline_us),
            finished_at=moment(row.finished_us),
        )


class ModelChange(BaseModel):
    """Which anomaly model served the camera, and which one does now (null: the service's own
    setting). In the new one's context the camera's baseline goes on from where it was left."""

    camera_id: str
    before: str
    after: str | None


@router.post("/{camera_id}/train", status_code=202)
async def train(
    principal: WritesCameras,
    city: CityDep,
    response: Response,
    camera_id: str,
    asked: TrainingAsked = THE_USUAL,
) -> Training:
    """Records normal footage of the camera, fine-tunes its anomaly model on it, and lets the two
    compete on what was held out; `Location` tells where to watch it. 409 where a training of the
    camera is under way (`training_under_way`), or where its model is none that can be fine-tuned
    (`not_trainable`); 503 (`not_installed`) where nothing is installed that trains."""
    principal.check_camera(camera_id)
    await city.registry.get(camera_id)
    await city.training.check()
    await _check_model(city, camera_id)
    async with city.database.writing() as session:
        camera = camera_of(await cameras.find(session, camera_id, lock=True))
        wanted = frames_in(asked.minutes, camera.analysis_fps)
        _check_enough(wanted, city.settings.clip_length, camera.analysis_fps)
        row = await trainings.begin(
            session,
            camera_id,
            actor=principal.key_id,
            fps=camera.analysis_fps,
            frames_wanted=wanted,
            steps=asked.steps,
            learning_rate=asked.learning_rate,
            activate=asked.activate,
            deadline_us=now_us() + round(asked.within_hours * HOUR_US),
        )
        begun = Training.of(row)
    response.headers["Location"] = f"/v1/baselines/{camera_id}/trainings/{begun.id}"
    return begun


@router.get("/{camera_id}/trainings")
async def list_trainings(history: HistoryDep) -> Page[Training]:
    """The camera's trainings, the newest first."""
    return await history.page(TrainingRow, Training.of)


@router.get("/{camera_id}/trainings/{training_id}")
async def get_training(
    principal: ReadsCameras, city: CityDep, camera_id: str, training_id: str
) -> Training:
    principal.check_camera(camera_id)
    async with city.database.reading() as session:
        return Training.of(await trainings.find(session, camera_id, training_id))


@router.delete("/{camera_id}/trainings/{training_id}", status_code=202)
async def cancel_training(
    principal: WritesCameras, city: CityDep, camera_id: str, training_id: str
) -> Training:
    """Asks the training to stop. What it has recorded is deleted."""
    principal.check_camera(camera_id)
    async with city.database.writing() as session:
        row = await trainings.find(session, camera_id, training_id, lock=True)
        if not TrainingState(row.state).is_final:
            row.stop_reason = row.stop_reason or f"cancelled by {principal.key_id}"
        return Training.of(row)


@router.post("/{camera_id}/train/rollback")
async def roll_back_training(
    principal: WritesCameras, city: CityDep, camera_id: str
) -> ModelChange:
    """Has the model of before serve the camera again. 409 where none of its own serves it."""
    principal.check_camera(camera_id)
    await city.registry.get(camera_id)
    activations = ActivationMap(city.bus.redis, "anomaly")
    before = (await activations.read()).get(camera_id)
    if before is None or not _is_own(city.settings.model_folders, before, camera_id):
        raise Conflict(
            f"camera {camera_id!r} is served by no model that was trained for it",
            code="nothing_to_roll_back",
        )
    await activations.roll_back(city.bus, camera_id)
    active = await activations.read()
    after = active.get(camera_id, active.get(ActivationMap.EVERY_CAMERA))
    return ModelChange(camera_id=camera_id, before=before, after=after)


async def _check_model(city: City, camera_id: str) -> None:
    """Raises Conflict where the camera's model cannot be fine-tuned: hours of footage would be
    recorded for nothing.

    Where none is activated it is that which scored the camera last: the default is the anomaly
    service's own setting. What is not known here its job finds out.
    """
    active = await ActivationMap(city.bus.redis, "anomaly").read()
    async with city.database.reading() as session:
        row = await baselines.newest(session, camera_id)
    scored_by = row.scoring["model"] if row is not None and row.scoring is not None else ""
    model = ActivationMap.serving(active, camera_id, scored_by)
    card = await asyncio.to_thread(_card, city.settings.model_folders, model)
    if card is not None:
        check_tunable(card)


def _is_own(folders: Sequence[Path], model: str, camera_id: str) -> bool:
    card = _card(folders, model)
    lineage = {} if card is None else card.settings.get("lineage", {})
    return bool(lineage.get("camera_id") == camera_id)


def _card(folders: Sequence[Path], model: str) -> ModelCard | None:
    store = ModelStore(*folders)
    return store.load(model).card if model in store.names else None


def _check_enough(frames: int, clip_length: int, fps: float) -> None:
    if frames < least_frames(clip_length):
        raise Malformed(
            f"{frames} frames are too little: a window to learn from takes {2 * clip_length}, and"
            f" enough of them must be held out; ask for {least_minutes(clip_length, fps):.1f}"
            " minutes or more",
            code="too_little_footage",
        )
