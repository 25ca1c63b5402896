"""A simulated city's footage on disk, in its `video` layout -> looks: true boxes, drawn people."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from services.reid.people import crop_of
from services.reid.training.replay.footage import Look, Seen
from shared import images
from shared.errors import Missing
from shared.messages import Box

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COUNTED_FRACTION = 0.3
"""People of whom less is visible are not looked for (ours, as the demo's scorecard has it)."""


def looks(folder: Path) -> Iterator[Look]:
    """Every frame of every camera, in the order of time. Raises Missing for another layout."""
    file = folder / "truth.jsonl"
    if not file.is_file():
        raise Missing(f"{folder} is no footage of a city: there is no truth.jsonl", code="no_city")
    frames = [json.loads(line) for line in file.read_text().splitlines()]
    for frame in sorted(frames, key=lambda it: (it["time_s"], it["camera_id"])):
        yield _look(folder, frame)


def _look(folder: Path, frame: dict[str, Any]) -> Look:
    camera = frame["camera_id"]
    file = folder / "frames" / camera / f"{frame['frame']:06d}.jpg"
    pixels = images.decode(file.read_bytes(), "rgb")
    seen = []
    for person in frame["people"]:
        x, y, width, height = person["box"]
        box = Box(x=x, y=y, width=width, height=height)
        if person["visible"] >= COUNTED_FRACTION:
            seen.append(Seen(person["person_id"], box, crop_of(pixels, box)))
    height, width = pixels.shape[:2]
    return Look(camera, frame["time_s"], (width, height), tuple(seen))
