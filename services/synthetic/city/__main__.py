"""Command line -> a data set of the simulated city, with progress."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import cv2
import typer

from services.synthetic.city.dataset import USUAL_FPS, Layout, write_dataset
from services.synthetic.city.layouts.order import DatasetSettings
from services.synthetic.city.plan import CityPlan
from shared.errors import CityBrainError

REPORT_EVERY_S = 2.0


class Reporter:
    """Prints how far it is, and how long it will take, every few seconds."""

    def __init__(self) -> None:
        self._begun = self._spoken = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._spoken < REPORT_EVERY_S and done < total:
            return
        self._spoken = now
        left_s = (now - self._begun) / done * (total - done)
        share = 100 * done / total
        print(f"{done} of {total} frames, {share:.0f} %, {left_s:.0f} s left", flush=True)


def main(
    layout: Annotated[Layout, typer.Option(help="What is written.")],
    out: Annotated[Path, typer.Option(help="An empty folder, or one to be made.")],
    seed: Annotated[int, typer.Option(help="People, traffic and anomalies.")] = 100,
    seconds: Annotated[float, typer.Option(help="Footage of each camera.")] = 120.0,
    fps: Annotated[float | None, typer.Option(help="Usual: clips 5, persons 2, video 10.")] = None,
    cameras: Annotated[int, typer.Option()] = CityPlan.cameras,
    width: Annotated[int, typer.Option()] = CityPlan.width,
    height: Annotated[int, typer.Option()] = CityPlan.height,
    scenery_seed: Annotated[int, typer.Option(help="Streets.")] = CityPlan.scenery_seed,
    people_per_minute: Annotated[float, typer.Option()] = CityPlan.people_per_minute,
    lookalikes: Annotated[float, typer.Option(help="Share of people.")] = CityPlan.lookalikes,
    anomalies: Annotated[bool | None, typer.Option(help="Usual: video alone.")] = None,
    clip_seconds: Annotated[float, typer.Option(help="Of clips.")] = DatasetSettings.clip_s,
    test_seconds: Annotated[float, typer.Option(help="Of clips.")] = DatasetSettings.test_s,
) -> None:
    """Renders the simulated city to disk. The same options give the same files everywhere."""
    cv2.setNumThreads(1)
    try:
        plan = CityPlan(
            seed=seed,
            duration_s=seconds,
            fps=fps or USUAL_FPS[layout],
            cameras=cameras,
            width=width,
            height=height,
            scenery_seed=scenery_seed,
            people_per_minute=people_per_minute,
            lookalikes=lookalikes,
            anomalies=layout is Layout.VIDEO if anomalies is None else anomalies,
        )
        settings = DatasetSettings(clip_s=clip_seconds, test_s=test_seconds)
        manifest = write_dataset(layout, plan, out, settings, progress=Reporter())
    except CityBrainError as error:
        raise SystemExit(f"error: {error}") from error
    if manifest is not None:
        print(json.dumps(asdict(manifest)))


if __name__ == "__main__":
    typer.run(main)
