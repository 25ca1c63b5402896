"""The entries of an archive -> pictures, with their labels where they have some."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import simplejpeg
from PIL import Image

from services.synthetic.crop_name import crop_name_of
from shared.data_folder import check_name
from shared.errors import Invalid, Malformed, TooLarge
from shared.images import JPEG_MAGIC, ImageInfo, ImageLimits, inspect
from shared.made_data import IMAGE_ENDINGS, DataKind
from shared.mark import refuse_marked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from services.synthetic.uploads.archive import Entries

LEAST_SIDE = 8
"""Pixels: characters are small."""

LIMITS = ImageLimits(min_side=LEAST_SIDE)

DEEPEST = 3
"""ROOT/CLASS/FILE."""

PNG_COLOUR, GRAY = 25, (0, 4)
"""Where a PNG says of what colour it is, and what it says of gray ones (specification, 11.2.1)."""

ARRAYS = frozenset({"images.npy", "labels.npy", "classes.npy"})


@dataclass(frozen=True)
class Picture:
    """name: below images/. label: its class, if it has one."""

    name: str
    label: str
    body: bytes
    width: int
    height: int
    is_gray: bool


def pictures_of(entries: Entries, kind: DataKind) -> Iterator[Picture]:
    """Raises Malformed (`not_pictures`, `bad_file_name`, `not_persons`, `synthetic_image`),
    TooLarge (`too_many_pictures`, `unpacked_too_large`), and what `shared.images.inspect` does."""
    if set(entries.names) <= ARRAYS and "images.npy" in entries.names:
        return _of_arrays(entries)
    return _of_files(entries, kind)


def _of_files(entries: Entries, kind: DataKind) -> Iterator[Picture]:
    """FILE, CLASS/FILE or ROOT/CLASS/FILE. Raises Malformed (`not_pictures`, `not_persons`)."""
    depth = _depth(entries.names) if entries.names else 1
    for full in sorted(entries.names):
        check_name(full)
        name = "/".join(full.split("/")[depth - 2 :][-2:])
        path = PurePosixPath(name)
        if path.suffix.lower() not in IMAGE_ENDINGS:
            raise Malformed(f"{full} is no picture: .png and .jpg are taken", code="not_pictures")
        body = entries.read(full)
        info = inspect_picture(full, body)
        label = _camera(path.name) if kind is DataKind.PERSONS else name.rpartition("/")[0]
        yield Picture(name, label, body, info.width, info.height, _is_gray(body))


def inspect_picture(name: str, body: bytes, *, may_be_made: bool = False) -> ImageInfo:
    """Raises Malformed (`synthetic_image`) and what `shared.images.inspect` does, with its name."""
    try:
        info = inspect(body, LIMITS)
        if not may_be_made:
            refuse_marked(body)
    except Invalid as error:
        raise type(error)(f"{name}: {error}", code=error.code) from error
    return info


def _depth(names: Sequence[str]) -> int:
    """Of all files alike. Raises Malformed (`not_pictures`)."""
    depths = {name.count("/") + 1 for name in names}
    if len(depths) != 1 or max(depths) > DEEPEST:
        raise Malformed(
            "the pictures lie neither all in one folder nor in a folder a class",
            code="not_pictures",
        )
    return depths.pop()


def _camera(name: str) -> str:
    """Raises Malformed (`not_persons`)."""
    if not (found := crop_name_of(name)):
        raise Malformed(
            f"{name} is not named as crops of Market-1501 are, such as 0002_c1s1_000451_03.jpg",
            code="not_persons",
        )
    return found.label


def _is_gray(body: bytes) -> bool:
    if body.startswith(JPEG_MAGIC):
        return bool(simplejpeg.decode_jpeg_header(body)[2].lower() == "gray")
    return body[PNG_COLOUR] in GRAY


def _of_arrays(entries: Entries) -> Iterator[Picture]:
    """images (N, H, W) or (N, H, W, 3) uint8; labels (N,) and names `classes`, if any."""
    images = entries.array("images.npy")
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or images.shape[3:] not in ((), (3,)):
        raise Malformed(
            f"images are {images.shape} {images.dtype}; wanted are (N, H, W) or (N, H, W, 3) uint8",
            code="not_pictures",
        )
    count, height, width = images.shape[:3]
    if count > entries.limits.pictures:
        raise TooLarge(f"{count} pictures are too many", code="too_many_pictures")
    if min(height, width) < LEAST_SIDE:
        raise Malformed(f"images of {width}x{height} are too small", code="image_too_small")
    labels = _labels(entries, count)
    for number, image in enumerate(images):
        packed = io.BytesIO()
        Image.fromarray(image).save(packed, "PNG")
        label = labels[number] if labels else ""
        name = f"{label}/{number:06d}.png" if label else f"{number:06d}.png"
        yield Picture(name, label, packed.getvalue(), width, height, image.ndim == 2)


def _labels(entries: Entries, count: int) -> list[str]:
    """Raises Malformed (`not_pictures`) where they do not fit the images."""
    if "labels.npy" not in entries.names:
        return []
    numbers = entries.array("labels.npy")
    if numbers.shape != (count,) or numbers.dtype.kind not in "iu":
        raise Malformed(f"{count} images have other labels", code="not_pictures")
    numbers = numbers.astype(np.int64)
    named = "classes.npy" in entries.names
    names = _class_names(entries.array("classes.npy")) if named else []
    if numbers.min(initial=0) < 0 or (named and numbers.max(initial=-1) >= len(names)):
        raise Malformed("labels name no class", code="not_pictures")
    # Without names, one label of ten digits must not make a list of as many.
    return [names[n] if named else str(n) for n in numbers.tolist()]


def _class_names(found: NDArray[Any]) -> list[str]:
    """Each names a folder. Raises Malformed (`not_pictures`, `bad_file_name`)."""
    try:
        names = [str(name) for name in found.tolist()] if found.ndim == 1 else []
    except (SystemError, ValueError):  # of letters that there are not
        names = []
    if not names or len(set(names)) < len(names) or any("/" in name for name in names):
        raise Malformed(
            "classes are one row of names, each once and without a slash", code="not_pictures"
        )
    for name in names:
        check_name(name)
    return names
