"""A folder of Market-1501's layout -> its crops for training, with their people and cameras."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from services.synthetic.crop_name import crop_name_of
from services.synthetic.training.pictures import Pictures
from shared import images
from shared.errors import Malformed, Missing

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

NO_CAMERA = 0
"""The camera, in the file names of a made data set, of whoever no camera saw."""

ENDINGS = frozenset({".jpg", ".png"})

OWN_SPLIT = "split_500_251"
HELD_OUT_EVERY = 5


@dataclass(frozen=True)
class PersonCrop:
    """One picture of one person through one camera."""

    path: Path
    person: int
    camera: int

    def read(self) -> NDArray[np.uint8]:
        """(H, W, 3), rgb."""
        return np.asarray(images.decode(self.path.read_bytes(), "rgb"))


def training_crops(root: Path, *, without_held_out: bool = False) -> list[PersonCrop]:
    """Of the split's training list, of the official training folder, or of `train/`, by name; only
    of people. without_held_out: every fifth person is left out, those whom `uplift --validation`
    of the re-ID training tests on.

    Raises Missing (`no_pictures`) where there are none, Malformed (`crop_name`).
    """
    crops = [crop for crop in map(crop_of, sorted(_training_files(root))) if crop.person > 0]
    if not crops:
        raise Missing(f"{root} has no crops of Market-1501's names", code="no_pictures")
    if not without_held_out:
        return crops
    people = sorted({crop.person for crop in crops})
    held = set(people[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY])
    return [crop for crop in crops if crop.person not in held]


def _training_files(root: Path) -> Iterable[Path]:
    listing = root / OWN_SPLIT / "train.txt"
    if listing.is_file():
        return [root / "bounding_box_train" / line for line in listing.read_text().split()]
    folders = (root / "bounding_box_train", root / "train")
    return [path for folder in folders for path in folder.glob("*") if path.suffix in ENDINGS]


def crop_of(path: Path) -> PersonCrop:
    """Raises Malformed (`crop_name`) for a file of another name."""
    found = crop_name_of(path.name)
    if found is None:
        raise Malformed(
            f"{path} is not named like a Market-1501 crop (0002_c1s1_000451_03.jpg)",
            code="crop_name",
        )
    return PersonCrop(path, found.person, found.camera)


def cameras_of(crops: Iterable[PersonCrop]) -> list[int]:
    """In order, each once."""
    return sorted({crop.camera for crop in crops})


def pictures_of(
    name: str, crops: Sequence[PersonCrop], cameras: Sequence[int], height: int, width: int
) -> Pictures:
    """What a translator learns cameras from: a class is a camera, nobody is known by name.

    Raises Missing (`no_pictures`) where no crop is of these cameras.
    """
    chosen = [crop for crop in crops if crop.camera in cameras]
    if not chosen:
        raise Missing(f"{name} has no crops of cameras {cameras}", code="no_pictures")
    size = (width, height)
    shown = np.stack(
        [cv2.resize(crop.read(), size, interpolation=cv2.INTER_AREA) for crop in chosen]
    )
    return Pictures(
        name,
        np.ascontiguousarray(shown.transpose(0, 3, 1, 2), np.uint8),
        np.array([list(cameras).index(crop.camera) for crop in chosen], np.int64),
        tuple(f"c{camera}" for camera in cameras),
    )
