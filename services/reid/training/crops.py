"""A folder of person crops -> who is on each, and which camera took it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.errors import Malformed, Missing
from shared.images import decode

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from shared.images import Pixels

MARKET_NAME = re.compile(r"(?P<person>-1|\d+)_c(?P<camera>\d+)")
"""`0002_c1s1_000451_03.jpg`: person 2 through camera 1. -1 is junk, 0 a distractor."""

MARKET_SPLIT = "split_500_251"


@dataclass(frozen=True)
class Crop:
    """One image of one person."""

    path: Path
    person: int
    camera: int

    def read(self) -> Pixels:
        """(H, W, 3), rgb. Raises Malformed (`image_truncated`) where it is no whole image."""
        try:
            return decode(self.path.read_bytes(), "rgb")
        except Malformed as error:
            raise Malformed(
                f"{self.path} is no whole JPEG or PNG: mend it, or take it away", code=error.code
            ) from error


def of_market_names(paths: Iterable[Path]) -> list[Crop]:
    """Crops whose file names say who is on them, in name order.

    Raises Malformed for a name that does not follow Market-1501.
    """
    return [_of_market_name(path) for path in sorted(paths)]


def _of_market_name(path: Path) -> Crop:
    found = MARKET_NAME.match(path.name)
    if found is None:
        raise Malformed(
            f"{path} is not named like a Market-1501 crop (0002_c1s1_000451_03.jpg)",
            code="crop_name",
        )
    return Crop(path, int(found["person"]), int(found["camera"]))


def of_folder(folder: Path) -> list[Crop]:
    """All crops of one folder. Raises Missing where there is none."""
    paths = [path for path in folder.glob("*") if path.suffix.lower() in {".jpg", ".png"}]
    if not paths:
        raise Missing(f"there are no .jpg or .png crops in {folder}", code="no_crops")
    return of_market_names(paths)


def of_market_list(root: Path, name: str) -> list[Crop]:
    """The crops that one list of the split 500/251 names."""
    listing = root / MARKET_SPLIT / f"{name}.txt"
    images = root / "bounding_box_train"
    return of_market_names(images / line for line in listing.read_text().split())


def training_crops(root: Path) -> list[Crop]:
    """The crops of a data folder that may be trained on: the split's list, the official training
    folder, or `train/`.

    Raises Missing where the folder has none of the three.
    """
    if (root / MARKET_SPLIT / "train.txt").is_file():
        return of_market_list(root, "train")
    for name in ("bounding_box_train", "train"):
        if (root / name).is_dir():
            return of_folder(root / name)
    raise Missing(
        f"{root} has neither {MARKET_SPLIT}/train.txt nor bounding_box_train/ nor train/",
        code="no_training_crops",
    )
