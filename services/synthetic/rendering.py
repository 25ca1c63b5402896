"""The job city.render: a plan of the simulated city -> a data set on disk."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Annotated, Any, Self

import cv2
from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.synthetic.city.dataset import USUAL_FPS, Layout, write_dataset
from services.synthetic.city.layouts.clips import MOST_FRAMES
from services.synthetic.city.layouts.order import DatasetSettings
from services.synthetic.city.plan import BOUNDS, CityPlan
from shared.data_folder import MANIFEST
from shared.jobs import JobCancelled, JobContext, JobKind

if TYPE_CHECKING:
    from pathlib import Path


CLIP_S = DatasetSettings.clip_s


def _within(field: str) -> Any:
    """The plan's own bounds, so that what is taken can be built."""
    low, high = BOUNDS[field]
    return Field(ge=low, le=high)


class RenderParams(BaseModel):
    """What city, and how it is to lie on disk.

    layout: clips (to train STAE), persons (to train re-ID) or video (frames and truth.jsonl).
    seed: people, traffic and anomalies. scenery_seed: streets and cameras. fps: clips 5, persons 2,
    video 10 where none is given. anomalies: by default in video, and in the test part of clips.
    Clips have 20 s: they need as many seconds, and at most 50 frames a second.
    """

    model_config = ConfigDict(extra="forbid")

    layout: Layout = Layout.VIDEO
    seconds: Annotated[float, _within("duration_s")] = 60.0
    seed: Annotated[int, _within("seed")] = 0
    scenery_seed: Annotated[int, _within("scenery_seed")] = 2
    cameras: Annotated[int, _within("cameras")] = 4
    fps: Annotated[float, _within("fps")] | None = None
    width: Annotated[int, _within("width")] = 320
    height: Annotated[int, _within("height")] = 240
    people_per_minute: Annotated[float, _within("people_per_minute")] = 23.0
    anomalies: bool | None = None

    @model_validator(mode="after")
    def _holds_whole_clips(self) -> Self:
        if self.layout is Layout.CLIPS:
            if self.seconds < CLIP_S:
                raise ValueError(f"clips have {CLIP_S:g} s: seconds must be as many, or more")
            if (self.fps or 0) > MOST_FRAMES / CLIP_S:
                raise ValueError(f"clips have {MOST_FRAMES / CLIP_S:g} frames a second at most")
        return self

    def plan(self) -> CityPlan:
        return CityPlan(
            seed=self.seed,
            scenery_seed=self.scenery_seed,
            duration_s=self.seconds,
            fps=self.fps or USUAL_FPS[self.layout],
            cameras=self.cameras,
            width=self.width,
            height=self.height,
            people_per_minute=self.people_per_minute,
            anomalies=self.layout is Layout.VIDEO if self.anomalies is None else self.anomalies,
        )


def render(params: RenderParams, context: JobContext) -> dict[str, Any]:
    """Writes the data set into the job's folder.

    A process that died has left a folder without manifest, which is begun anew, to the same bytes;
    or a whole one, whose end it could not report.
    """
    folder = context.folder / "dataset"
    if not (folder / MANIFEST).is_file():
        shutil.rmtree(folder, ignore_errors=True)
        _write(params, folder, context)
    manifest = json.loads((folder / MANIFEST).read_text())
    told = {key: manifest[key] for key in ("layout", "counts", "files", "sha256")}
    return {"folder": str(folder), **told}


def _write(params: RenderParams, folder: Path, context: JobContext) -> None:
    cv2.setNumThreads(1)
    manifest = write_dataset(
        params.layout,
        params.plan(),
        folder,
        progress=lambda done, total: context.report(done, total, f"{done} of {total} frames"),
        cancelled=context.stop.is_set,
    )
    if manifest is None:
        raise JobCancelled


CITY_RENDER = JobKind(RenderParams, render, "Renders the simulated city to a data set")
