"""A plan -> a data set on disk: clips, person crops, or video with its truth."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from services.synthetic.city.layouts.clips import write_clips
from services.synthetic.city.layouts.order import DatasetSettings, Order
from services.synthetic.city.layouts.persons import write_persons
from services.synthetic.city.layouts.video import write_video
from shared.data_folder import DataFolder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from services.synthetic.city.layouts.folder import Manifest
    from services.synthetic.city.layouts.order import Cancelled, Progress
    from services.synthetic.city.plan import CityPlan


class Layout(StrEnum):
    CLIPS = "clips"
    PERSONS = "persons"
    VIDEO = "video"


WRITERS: dict[Layout, Callable[[Order], Manifest | None]] = {
    Layout.CLIPS: write_clips,
    Layout.PERSONS: write_persons,
    Layout.VIDEO: write_video,
}

USUAL_FPS: dict[Layout, float] = {Layout.CLIPS: 5.0, Layout.PERSONS: 2.0, Layout.VIDEO: 10.0}
"""Frames a second that suit a layout, where nobody asks for others."""


def write_dataset(
    layout: Layout,
    plan: CityPlan,
    out: Path,
    settings: DatasetSettings | None = None,
    *,
    progress: Progress = lambda done, total: None,
    cancelled: Cancelled = lambda: False,
) -> Manifest | None:
    """Writes a data set into an empty folder; None, and no manifest, where it was cancelled.

    Raises Conflict (`folder_not_empty`), and Invalid where the clips would be longer than the
    footage or than their file names allow.
    """
    folder = DataFolder(out)
    return WRITERS[layout](Order(plan, folder, settings or DatasetSettings(), progress, cancelled))
