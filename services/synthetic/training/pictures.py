"""Data sets -> labelled pictures in memory, and batches of them.

- FILE.npz: images (N, H, W) or (N, H, W, C) uint8; labels (N,) and names `classes`, if any.
- DIR/CLASS/*.png|jpg: a folder a class.
- DIR/*.png|jpg: without classes; where all names are Market-1501's, a class is a camera.
- DIR/train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz: as MNIST comes; t10k-* are its test.
"""

from __future__ import annotations

import gzip
import zipfile
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

from services.synthetic.crop_name import crop_name_of
from shared.errors import Malformed, Missing
from shared.images import decode

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from services.synthetic.models.system import Batch

IMAGES = frozenset({".png", ".jpg", ".jpeg"})
IDX = ("images-idx3-ubyte.gz", "labels-idx1-ubyte.gz")
IDX_HEADERS = (16, 8)
TRAIN, TEST = "train", "t10k"

LEAST = 2
"""Of the pictures of a data set: batch normalisation says nothing of one."""


@dataclass(frozen=True, eq=False)
class Pictures:
    """images: (N, C, H, W) uint8. labels: (N,) from 0, by `classes`; without classes all are 0."""

    name: str
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def templates(self) -> NDArray[np.uint8]:
        """(classes, C, H, W): of each class the picture nearest to their mean, which stands for
        its content (ours)."""
        found = []
        for label in range(max(len(self.classes), 1)):
            own = self.images[self.labels == label].astype(np.float32)
            far = np.square(own - own.mean(axis=0)).sum(axis=(1, 2, 3))
            found.append(own[far.argmin()])
        return np.stack(found).astype(np.uint8)

    def batch(self, count: int, random: torch.Generator) -> Batch:
        """Drawn evenly, on the generator's device: images, labels, and contents, the templates of
        the labels; a and b: images of the first and of the second class, where there are two."""
        device = random.device
        rows = _drawn(len(self), count, random)
        labels = self.labels[rows]
        batch = {
            "images": _pixels(self.images[rows], device),
            "labels": torch.from_numpy(labels).to(device),
            "contents": _pixels(self.templates[labels], device),
        }
        for name, own in zip("ab", self._rows_by_class[:2], strict=False):
            batch[name] = _pixels(self.images[own[_drawn(len(own), count, random)]], device)
        return batch

    @cached_property
    def _rows_by_class(self) -> list[NDArray[np.intp]]:
        return [np.flatnonzero(self.labels == label) for label in range(len(self.classes))]

    def chosen(self, rows: NDArray[np.integer]) -> Pictures:
        return replace(self, images=self.images[rows], labels=self.labels[rows])


def _drawn(among: int, count: int, random: torch.Generator) -> NDArray[np.int64]:
    drawn: NDArray[np.int64] = (
        torch.randint(among, (count,), generator=random, device=random.device).cpu().numpy()
    )
    return drawn


def _pixels(images: NDArray[np.uint8], device: torch.device) -> torch.Tensor:
    return torch.from_numpy(images).to(device).float() / 255


def read_pictures(path: Path, *, first: int | None = None) -> Pictures:
    """first: so many of them, in their order, and none of the others.

    Raises Missing (`no_pictures`) and Malformed (`not_pictures`, `too_few_pictures`,
    `empty_class`)."""
    if path.suffix == ".npz":
        found = _of_npz(path)
    elif (path / f"{TRAIN}-{IDX[0]}").is_file():
        found = of_idx(path)
    elif path.is_dir():
        found = _of_folder(path)
    else:
        raise Missing(f"{path} is neither an .npz file nor a folder", code="no_pictures")
    if len(found) < max(LEAST, first or 0):
        raise Malformed(f"{path} holds {len(found)} pictures", code="too_few_pictures")
    if first is not None:
        found = found.chosen(np.arange(first))
    counts = np.bincount(found.labels, minlength=max(len(found.classes), 1))
    if not counts.all():
        empty = ", ".join(found.classes[n] for n in np.flatnonzero(counts == 0))
        raise Malformed(f"{path} has no picture of {empty}", code="empty_class")
    return found


def _of_npz(path: Path) -> Pictures:
    try:
        # Opened here: numpy leaves the file of a torn archive open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            images = arrays["images"]
            labels = arrays["labels"].astype(np.int64) if "labels" in arrays else None
            classes = arrays["classes"].tolist() if "classes" in arrays else []
    except FileNotFoundError as error:
        raise Missing(f"there is no {path}", code="no_pictures") from error
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise Malformed(f"{path} holds no pictures: {error}", code="not_pictures") from error
    if images.ndim not in (3, 4) or images.dtype != np.uint8:
        raise Malformed(
            f"images of {path} are {images.shape} {images.dtype}; wanted are (N, H, W) or"
            " (N, H, W, C) uint8",
            code="not_pictures",
        )
    if labels is None:
        return Pictures(path.stem, _channels_first(images), np.zeros(len(images), np.int64))
    if labels.shape != images.shape[:1]:
        raise Malformed(
            f"{path} has {len(images)} images and {labels.shape} labels", code="not_pictures"
        )
    names = classes or [str(n) for n in range(int(labels.max(initial=-1)) + 1)]
    if labels.min(initial=0) < 0 or labels.max(initial=0) >= len(names):
        raise Malformed(f"labels of {path} name no class", code="not_pictures")
    return Pictures(path.stem, _channels_first(images), labels, tuple(map(str, names)))


def of_idx(folder: Path, part: str = TRAIN) -> Pictures:
    """MNIST's training or its test images. Raises Missing (`no_pictures`)."""
    files = [folder / f"{part}-{name}" for name in IDX]
    if missing := [file for file in files if not file.is_file()]:
        raise Missing(f"there is no {missing[0]}", code="no_pictures")
    images, labels = (
        np.frombuffer(bytearray(gzip.decompress(file.read_bytes())), np.uint8)[header:]
        for file, header in zip(files, IDX_HEADERS, strict=True)
    )
    side = int((len(images) // len(labels)) ** 0.5)
    numbers = labels.astype(np.int64)
    classes = tuple(str(n) for n in range(int(numbers.max()) + 1))
    return Pictures(folder.name, images.reshape(-1, 1, side, side), numbers, classes)


def _of_folder(folder: Path) -> Pictures:
    folders = sorted(one for one in folder.iterdir() if one.is_dir()) or [folder]
    files = [
        file for one in folders for file in sorted(one.iterdir()) if file.suffix.lower() in IMAGES
    ]
    if not files:
        raise Missing(f"there are no .png or .jpg pictures in {folder}", code="no_pictures")
    images = _of_one_size([decode(file.read_bytes(), "rgb") for file in files])
    crops = [found for file in files if (found := crop_name_of(file.name))]
    if folders != [folder]:
        names = [file.parent.name for file in files]
    else:
        names = [crop.label for crop in crops] if len(crops) == len(files) else []
    classes = tuple(sorted({*names, *(one.name for one in folders if one != folder)}))
    labels = np.array([classes.index(name) for name in names] or [0] * len(files), np.int64)
    return Pictures(folder.resolve().name, _channels_first(images), labels, classes)


def _of_one_size(images: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """The first one's: pictures of a folder differ in size now and then."""
    height, width = images[0].shape[:2]
    return np.stack(
        [
            np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
            for image in images
        ]
    )


def _channels_first(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if images.ndim == 3:
        return images[:, None]
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))
