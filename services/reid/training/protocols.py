"""A benchmark's folder -> the trials that its protocol asks for.

A protocol is a function from a folder to trials; PROTOCOLS names them all. Everything else about
evaluation is the same for each.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.io import loadmat

from services.reid.core.evaluation import DISTRACTOR, JUNK
from services.reid.training.crops import (
    MARKET_SPLIT,
    Crop,
    of_folder,
    of_market_list,
    training_crops,
)
from shared.errors import Malformed, Missing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

REPETITIONS = 10
SEED = 0
IMAGES = {".bmp", ".jpeg", ".jpg", ".png"}

PRID_COMMON = 200
"""People whom both of PRID's cameras saw. Beyond them, one number means two people."""

GRID_PARTITIONS = "features_and_partitions.mat"
GRID_NAME = re.compile(r"(\d+)_(\d+)_")
GRID_TRAINING = 2
"""Place, among the fields of a partition, of the people to train on."""


@dataclass(frozen=True)
class Trial:
    """One retrieval. The metrics of several trials are averaged."""

    query: Sequence[Crop]
    gallery: Sequence[Crop]


def market(root: Path) -> list[Trial]:
    """Market-1501 (Zheng et al., ICCV 2015): the official `query/` and `bounding_box_test/`, or
    the lists of `split_500_251/`, which divides the official training people. The gallery keeps
    its distractors (person 0) and loses its junk (-1), as officially.

    Raises Missing where the folder has neither.
    """
    if (root / "bounding_box_test").is_dir():
        return [Trial(of_folder(root / "query"), _without_junk(root / "bounding_box_test"))]
    if (root / MARKET_SPLIT / "query.txt").is_file():
        return [Trial(of_market_list(root, "query"), of_market_list(root, "gallery"))]
    raise Missing(f"{root} has neither bounding_box_test/ nor {MARKET_SPLIT}/", code="no_protocol")


def viper(root: Path) -> list[Trial]:
    """VIPeR (Gray and Tao, ECCV 2008): a random half of the 632 people, camera A asking camera B,
    ten times over. The other halves would be for training; a model that did not train on them is
    tested on the same halves all the same, so that figures stand beside published ones.

    Raises Missing where `cam_a/` or `cam_b/` has no images, Malformed (`crop_name`).
    """
    views, people = _of_viper(root)
    return [
        Trial(*([view[person] for person in half] for view in views)) for half in _halves(people)
    ]


def viper_training(root: Path, trial: int) -> list[Crop]:
    """Both crops of everybody whom a trial of `viper`, counted from 0, does not ask for.

    Raises Missing where `cam_a/` or `cam_b/` has no images, or where there is no such trial,
    Malformed (`crop_name`).
    """
    views, people = _of_viper(root)
    if not 0 <= trial < REPETITIONS:
        raise Missing(f"trials are 0 to {REPETITIONS - 1}, not {trial}", code="no_trial")
    tested = set(_halves(people)[trial])
    return [view[person] for person in people if person not in tested for view in views]


def _of_viper(root: Path) -> tuple[list[dict[int, Crop]], list[int]]:
    """Each view's crops by person, and the people of both. They count from 1 here: 0 would be
    nobody."""
    views = [
        {
            number + 1: replace(crop, person=number + 1)
            for number, crop in _of_view(root / name, camera).items()
        }
        for camera, name in enumerate(("cam_a", "cam_b"))
    ]
    return views, sorted(views[0].keys() & views[1].keys())


def prid(root: Path) -> list[Trial]:
    """PRID 2011, single shot (Hirzer et al., SCIA 2011): a random half of the 200 people whom both
    cameras saw, camera A asking camera B, where the 549 others are distractors; ten times over.

    Raises Missing where `cam_a/` or `cam_b/`, there or below `single_shot/`, has no images,
    Malformed (`crop_name`).
    """
    root = root / "single_shot" if (root / "single_shot").is_dir() else root
    asking = _of_view(root / "cam_a", 0, prefix="person_")
    asked = _of_view(root / "cam_b", 1, prefix="person_")
    strangers = [
        replace(crop, person=DISTRACTOR) for person, crop in asked.items() if person > PRID_COMMON
    ]
    common = sorted(person for person in asking.keys() & asked.keys() if person <= PRID_COMMON)
    return [
        Trial([asking[person] for person in half], [asked[person] for person in half] + strangers)
        for half in _halves(common)
    ]


def grid(root: Path) -> list[Trial]:
    """GRID (Loy et al., CVPR 2009): those of the 250 people whom one of the ten official partitions
    does not train on; `probe/` asks `gallery/`, where the 775 images of person 0 are distractors.

    Raises Missing where a folder or the partitions are missing, Malformed for other partitions and
    for a file's name (`crop_name`).
    """
    probe, gallery = (_of_grid_view(root / name) for name in ("probe", "gallery"))
    return [
        Trial(*([crop for crop in view if crop.person not in known] for view in (probe, gallery)))
        for known in _grid_partitions(root / GRID_PARTITIONS)
    ]


def _grid_partitions(file: Path) -> list[set[int]]:
    """The people that each partition trains on."""
    if not file.is_file():
        raise Missing(f"there is no {file}", code="no_protocol")
    try:
        cells = loadmat(file)["trainIdxAll"].ravel()
        return [set(cell[0, 0][GRID_TRAINING].ravel().tolist()) for cell in cells]
    except (KeyError, IndexError, ValueError, NotImplementedError) as error:
        raise Malformed(
            f"{file} does not hold GRID's partitions", code="grid_partitions"
        ) from error


def _of_grid_view(folder: Path) -> list[Crop]:
    """File names are PERSON_CAMERA_FRAME_...; cameras count through both folders."""
    return [Crop(path, *_numbers(path, GRID_NAME)) for path in _images(folder)]


def folder(root: Path) -> list[Trial]:
    """`query/` and `gallery/` with Market-1501 file names."""
    return [Trial(of_folder(root / "query"), _without_junk(root / "gallery"))]


def _without_junk(folder: Path) -> list[Crop]:
    return [crop for crop in of_folder(folder) if crop.person != JUNK]


def _of_view(folder: Path, camera: int, *, prefix: str = "") -> dict[int, Crop]:
    """Person -> their one image in this view. File names are PREFIX, PERSON, and perhaps _ANGLE."""
    name = re.compile(rf"{prefix}(\d+)(?:_|$)")
    crops = [Crop(path, _numbers(path, name)[0], camera) for path in _images(folder)]
    return {crop.person: crop for crop in crops}


def _numbers(path: Path, name: re.Pattern[str]) -> tuple[int, ...]:
    """Those that a file's name tells. Raises Malformed (`crop_name`)."""
    found = name.match(path.stem)
    if found is None:
        raise Malformed(f"{path} is not named like the benchmark's crops", code="crop_name")
    return tuple(int(number) for number in found.groups())


def _images(folder: Path) -> list[Path]:
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in IMAGES)
    if not paths:
        raise Missing(f"there are no images in {folder}", code="no_protocol")
    return paths


def _halves(people: Sequence[int]) -> list[list[int]]:
    """Random halves, the same ones for every model."""
    rng = np.random.default_rng(SEED)
    return [
        [int(person) for person in rng.permutation(people)[: len(people) // 2]]
        for _ in range(REPETITIONS)
    ]


def crops_to_train_on(root: Path, trial: int | None) -> list[Crop]:
    """trial: of a folder in VIPeR's layout, the trial whose people are left out.

    Raises Missing for a folder without training crops, Malformed for VIPeR without a trial.
    """
    if not (root / "cam_a").is_dir():
        return training_crops(root)
    if trial is None:
        raise Malformed(f"{root}: say which trial's people not to train on", code="no_trial")
    return viper_training(root, trial)


PROTOCOLS: dict[str, Callable[[Path], list[Trial]]] = {
    "market": market,
    "viper": viper,
    "grid": grid,
    "prid": prid,
    "folder": folder,
}
