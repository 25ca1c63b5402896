"""WILDTRACK's annotated tracks, dressed in the crops of other people -> looks.

Chavdarova et al., "WILDTRACK: a multi-camera HD dataset for dense unscripted pedestrian detection",
CVPR 2018: seven cameras around one square, 400 moments, half a second apart. Its people walk and
hide each other as they did; what they look like comes from a re-identification data set, one of its
cameras to a view.
"""

from __future__ import annotations

import csv
import gzip
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from services.reid.training.replay.footage import Look, Seen
from shared import images
from shared.errors import Missing
from shared.messages import Box

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from services.reid.training.crops import Crop
    from shared.images import Pixels

SIZE = (1920, 1080)
FRAMES_A_SECOND = 10
"""By which its frames are numbered; every fifth is annotated."""

CROP = (64, 128)
MOST_PEOPLE = 250

ERROR = 0.05
"""Standard deviation of where a detector sees each edge of a box, in the box's own sides (ours)."""


class Annotation(NamedTuple):
    """A person in one view at one moment."""

    frame: int
    person: int
    view: int
    box: Box


@dataclass(frozen=True, eq=False)
class Dressing:
    """crops: of a person in a view, in the order in which they are worn."""

    crops: Mapping[tuple[int, int], Sequence[Crop]]

    @classmethod
    def of(
        cls, annotations: Sequence[Annotation], crops: Sequence[Crop], seed: int, most: int
    ) -> Dressing:
        """At most so many people, those who are annotated most, each as one identity drawn by
        chance. The busiest view is filmed by the camera that saw most identities, and so on; who
        has no crop of a view's camera is not seen there."""
        people = [person for person, _ in Counter(it.person for it in annotations).most_common()]
        views = [view for view, _ in Counter(it.view for it in annotations).most_common()]
        worn: dict[tuple[int, int], list[Crop]] = defaultdict(list)
        for crop in crops:
            worn[crop.person, crop.camera].append(crop)
        cameras = [camera for camera, _ in Counter(camera for _, camera in worn).most_common()]
        identities = np.random.default_rng(seed).permutation(sorted({it.person for it in crops}))
        return cls(
            {
                (person, view): worn[int(identity), camera]
                for person, identity in zip(people[:most], identities, strict=False)
                for view, camera in zip(views, cameras, strict=False)
                if (int(identity), camera) in worn
            }
        )


def read_annotations(folder: Path) -> list[Annotation]:
    """Raises Missing where the folder has no tracks."""
    file = folder / "tracks.csv.gz"
    if not file.is_file():
        raise Missing(f"there is no {file}", code="no_tracks")
    with gzip.open(file, "rt", newline="") as lines:
        return [_annotation(line) for line in csv.DictReader(lines)]


def _annotation(line: dict[str, str]) -> Annotation:
    left, top, right, bottom = (float(line[name]) for name in ("xmin", "ymin", "xmax", "ymax"))
    box = Box(x=left, y=top, width=right - left, height=bottom - top)
    return Annotation(int(line["frame"]), int(line["person_id"]), int(line["view"]), box)


def looks(
    annotations: Sequence[Annotation],
    dressing: Dressing,
    *,
    covered: bool,
    error: float = ERROR,
    seed: int = 0,
) -> Iterator[Look]:
    """All dressed people, moment by moment. covered: who stands nearer hides those behind, in the
    crop too. error: of a detector, as in ERROR; 0 gives the boxes as they are annotated. seed: of
    these errors."""
    worn = _worn(annotations, dressing)
    rng = np.random.default_rng(seed)
    views = sorted({view for _, view in dressing.crops})
    moments: dict[int, dict[int, list[Annotation]]] = defaultdict(lambda: defaultdict(list))
    for it in annotations:
        if (it.person, it.view) in dressing.crops:
            moments[it.frame][it.view].append(it)
    for frame in sorted({it.frame for it in annotations}):
        for view in views:
            seen = [Seen(it.person, it.box, _pixels(worn[it])) for it in moments[frame][view]]
            if covered:
                seen = [_as_covered(one, seen) for one in seen]
            found = (replace(one, box=_found(one.box, error, rng)) for one in seen)
            yield Look(f"view-{view}", frame / FRAMES_A_SECOND, SIZE, tuple(found))


def _found(box: Box, error: float, rng: np.random.Generator) -> Box:
    """As a detector finds it. The annotated boxes are cylinders projected from a map: their feet
    agree between views as no detector's do."""
    left, right = rng.normal(0.0, error * box.width, 2)
    top, bottom = rng.normal(0.0, error * box.height, 2)
    return Box(
        x=box.x + left,
        y=box.y + top,
        width=max(box.width + right - left, 1.0),
        height=max(box.height + bottom - top, 1.0),
    )


def _worn(annotations: Sequence[Annotation], dressing: Dressing) -> dict[Annotation, Crop]:
    """The crop of each annotation: a person's crops follow each other through their stay."""
    stays: dict[tuple[int, int], list[Annotation]] = defaultdict(list)
    for it in sorted(annotations, key=lambda it: it.frame):
        if (it.person, it.view) in dressing.crops:
            stays[it.person, it.view].append(it)
    return {
        it: dressing.crops[key][n * len(dressing.crops[key]) // len(stay)]
        for key, stay in stays.items()
        for n, it in enumerate(stay)
    }


def _pixels(crop: Crop) -> Pixels:
    pixels = images.decode(crop.path.read_bytes(), "rgb")
    return np.asarray(cv2.resize(pixels, CROP)) if pixels.shape[1::-1] != CROP else pixels


def _as_covered(one: Seen, others: Sequence[Seen]) -> Seen:
    """With those drawn over it who stand lower in the picture, the nearest last."""
    nearer = [it for it in others if _foot(it.box) > _foot(one.box)]
    crop = one.crop.copy()
    for other in sorted(nearer, key=lambda it: _foot(it.box)):
        _draw_over(crop, one.box, other)
    return Seen(one.person, one.box, crop)


def _draw_over(crop: Pixels, box: Box, other: Seen) -> None:
    """The part of a nearer person that lies within a box, into its crop."""
    height, width = crop.shape[:2]
    across, down = width / box.width, height / box.height
    left, top = round((other.box.x - box.x) * across), round((other.box.y - box.y) * down)
    size = (max(1, round(other.box.width * across)), max(1, round(other.box.height * down)))
    right, bottom = min(width, left + size[0]), min(height, top + size[1])
    if right <= max(0, left) or bottom <= max(0, top):
        return
    drawn = cv2.resize(other.crop, size)
    crop[max(0, top) : bottom, max(0, left) : right] = drawn[
        max(0, -top) : bottom - top, max(0, -left) : right - left
    ]


def _foot(box: Box) -> float:
    return box.y + box.height
