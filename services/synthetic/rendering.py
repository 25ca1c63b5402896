"""The job city.render: a plan of the simulated city -> a data set on disk."""

from __future__ import annotations

import shutil
from typing import Annotated, Any

import cv2
from pydantic import BaseModel, ConfigDict, Field

from services.synthetic.city.dataset import USUAL_FPS, Layout, write_dataset
from services.synthetic.city.plan import MOST_CAMERAS, CityPlan
from shared.data_folder import MANIFEST
from shared.jobs import JobCancelled, JobContext, JobKind


class RenderParams(BaseModel):
    """What city, and how it is to lie on disk.

    layout: clips (to train STAE), persons (to train re-ID) or video (frames and truth.jsonl).
    seed: people, traffic and anomalies. scenery_seed: streets and cameras. fps: clips 5, persons 2,
    video 10 where none is given. anomalies: by default in video, and in the test part of clips.
    """

    model_config = ConfigDict(extra="forbid")

    layout: Layout = Layout.VIDEO
    seconds: Annotated[float, Field(gt=0, le=86_400)] = 60.0
    seed: Annotated[int, Field(ge=0)] = 0
    scenery_seed: Annotated[int, Field(ge=0)] = 2
    cameras: Annotated[int, Field(ge=1, le=MOST_CAMERAS)] = 4
    fps: Annotated[float, Field(ge=0.5, le=60)] | None = None
    width: Annotated[int, Field(ge=64, le=1920)] = 320
    height: Annotated[int, Field(ge=48, le=1080)] = 240
    people_per_minute: Annotated[float, Field(ge=0, le=120)] = 23.0
    anomalies: bool | None = None

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

    A process that died has left a folder without manifest: it is begun anew, to the same bytes.
    """
    cv2.setNumThreads(1)
    folder = context.folder / "dataset"
    if folder.exists() and not (folder / MANIFEST).is_file():
        shutil.rmtree(folder)
    manifest = write_dataset(
        params.layout,
        params.plan(),
        folder,
        progress=lambda done, total: context.report(done, total, f"{done} of {total} frames"),
        cancelled=context.stop.is_set,
    )
    if manifest is None:
        raise JobCancelled
    return {
        "folder": str(folder),
        "layout": manifest.layout,
        "counts": manifest.counts,
        "files": manifest.files,
        "sha256": manifest.sha256,
    }


CITY_RENDER = JobKind(RenderParams, render, "Renders the simulated city to a data set")
