"""`0002_c1s1_000451_03.jpg`: Market-1501's file names, in which person 2 passes camera 1."""

from __future__ import annotations

import re
from typing import NamedTuple

CROP_NAME = re.compile(r"(?P<person>-1|\d+)_c(?P<camera>\d+)")
"""As the re-ID room reads them: what stands behind the camera differs between data sets."""


class CropName(NamedTuple):
    """person: -1 and 0 are nobody."""

    person: int
    camera: int

    @property
    def label(self) -> str:
        """The class of the camera, such as c1."""
        return f"c{self.camera}"


def crop_name_of(name: str) -> CropName | None:
    """None for a file of another name."""
    found = CROP_NAME.match(name)
    return CropName(int(found["person"]), int(found["camera"])) if found else None
