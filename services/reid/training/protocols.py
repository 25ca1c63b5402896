"""A benchmark's folder -> the trials that its protocol asks for.

A protocol is a function from a folder to trials; PROTOCOLS names them all. Everything else about
evaluation is the same for each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from services.reid.training.crops import MARKET_SPLIT, Crop, of_folder, of_market_list
from shared.errors import Missing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

VIPER_REPETITIONS = 10
VIPER_SEED = 0


@dataclass(frozen=True)
class Trial:
    """One retrieval. The metrics of several trials are averaged."""

    query: Sequence[Crop]
    gallery: Sequence[Crop]


def market(root: Path) -> list[Trial]:
    """Market-1501 (Zheng et al., ICCV 2015): the official `query/` and `bounding_box_test/`, or
    the lists of `split_500_251/`, which divides the official training people.

    Raises Missing where the folder has neither.
    """
    if (root / "bounding_box_test").is_dir():
        return [Trial(of_folder(root / "query"), of_folder(root / "bounding_box_test"))]
    if (root / MARKET_SPLIT / "query.txt").is_file():
        return [Trial(of_market_list(root, "query"), of_market_list(root, "gallery"))]
    raise Missing(f"{root} has neither bounding_box_test/ nor {MARKET_SPLIT}/", code="no_protocol")


def viper(root: Path) -> list[Trial]:
    """VIPeR (Gray and Tao, ECCV 2008): a random half of the 632 people, camera A asking camera B,
    ten times over. The other halves would be for training; a model that did not train on them is
    tested on the same halves all the same, so that figures stand beside published ones.

    Raises Missing where `cam_a/` or `cam_b/` has no images.
    """
    views = [_of_viper_view(root / name, camera) for camera, name in enumerate(("cam_a", "cam_b"))]
    people = sorted(views[0].keys() & views[1].keys())
    rng = np.random.default_rng(VIPER_SEED)
    trials = []
    for _ in range(VIPER_REPETITIONS):
        half = rng.permutation(people)[: len(people) // 2]
        trials.append(Trial(*([view[int(person)] for person in half] for view in views)))
    return trials


def _of_viper_view(folder: Path, camera: int) -> dict[int, Crop]:
    """Person -> their one image in this view. File names are PERSON_ANGLE."""
    paths = sorted(p for p in folder.glob("*") if p.suffix.lower() in {".bmp", ".jpg", ".png"})
    if not paths:
        raise Missing(f"there are no images in {folder}", code="no_protocol")
    people = (int(path.name.split("_")[0]) for path in paths)
    return {person: Crop(path, person, camera) for person, path in zip(people, paths, strict=True)}


def folder(root: Path) -> list[Trial]:
    """`query/` and `gallery/` with Market-1501 file names."""
    return [Trial(of_folder(root / "query"), of_folder(root / "gallery"))]


PROTOCOLS: dict[str, Callable[[Path], list[Trial]]] = {
    "market": market,
    "viper": viper,
    "folder": folder,
}
