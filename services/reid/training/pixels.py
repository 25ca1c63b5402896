"""Crops on disk -> one array of pixels at the size that training cuts from."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from services.reid.embedder import resize
from services.reid.training.protocols import crops_to_train_on
from shared.errors import Malformed, Missing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from services.reid.training.crops import Crop


@dataclass(frozen=True)
class LabelledPixels:
    """N crops in memory: pixels uint8 (N, 160, 64, 3), and int64 (N,) for each of the others.

    people are numbered 0 .. M - 1 over all sources; no person or camera is in two sources. named:
    the people as their files' names number them, each source for itself.
    """

    pixels: torch.Tensor
    people: torch.Tensor
    cameras: torch.Tensor
    sources: torch.Tensor
    named: torch.Tensor

    def __len__(self) -> int:
        return len(self.people)

    @property
    def identities(self) -> int:
        return len(torch.unique(self.people))

    def only(self, people: NDArray[np.int64]) -> LabelledPixels:
        """The crops of some people, who are numbered anew in the order given."""
        numbers = {int(person): n for n, person in enumerate(people)}
        rows = torch.tensor([n for n, p in enumerate(self.people.tolist()) if p in numbers])
        renumbered = torch.tensor([numbers[p] for p in self.people[rows].tolist()])
        return replace(self.rows(rows), people=renumbered)

    def rows(self, rows: torch.Tensor) -> LabelledPixels:
        """Some of the crops, under the numbers they have."""
        return LabelledPixels(
            self.pixels[rows],
            self.people[rows],
            self.cameras[rows],
            self.sources[rows],
            self.named[rows],
        )


def read_pixels(crops: Sequence[Crop]) -> NDArray[np.uint8]:
    """(N, 160, 64, 3), rgb. Raises Malformed (`image_truncated`)."""
    with ThreadPoolExecutor(2) as pool:
        return np.stack(list(pool.map(lambda crop: resize(crop.read()), crops)))


def read_training(folders: Sequence[Path], trial: int | None = None) -> LabelledPixels:
    """The training crops of all folders; of VIPeR those that a trial does not test.

    Raises Missing for a folder without crops of anybody (`no_crops`), Malformed for VIPeR without a
    trial, and for a crop that is no image.
    """
    found = [crops_to_train_on(folder, trial) for folder in folders]
    for folder, crops in zip(folders, found, strict=True):
        if not any(crop.person > 0 for crop in crops):
            raise Missing(f"{folder} shows nobody: all crops are distractors", code="no_crops")
    return labelled_pixels(found)


def labelled_pixels(of_sources: Sequence[Sequence[Crop]]) -> LabelledPixels:
    """The crops of all sources. Distractors and junk are nobody, and are left out."""
    pixels, people, cameras, sources = [], [], [], []
    for source, found in enumerate(of_sources):
        crops = [crop for crop in found if crop.person > 0]
        pixels.append(read_pixels(crops))
        people.extend([(source, crop.person) for crop in crops])
        cameras.extend([(source, crop.camera) for crop in crops])
        sources.extend([source] * len(crops))
    return LabelledPixels(
        torch.from_numpy(np.concatenate(pixels)),
        torch.from_numpy(_numbered(people)),
        torch.from_numpy(_numbered(cameras)),
        torch.tensor(sources),
        torch.tensor([name for _, name in people]),
    )


def _numbered(labels: list[tuple[int, int]]) -> NDArray[np.int64]:
    return np.unique(labels, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


def hold_out(
    data: LabelledPixels, share: float, seed: int
) -> tuple[LabelledPixels, LabelledPixels]:
    """(to train on, held out): the same share of every source's identities, drawn by seed.

    Raises Malformed (`held_out`) for a share that holds out, or leaves, nobody to compare with
    anybody.
    """
    draw = np.random.default_rng(seed)
    kept: list[NDArray[np.int64]] = []
    held: list[NDArray[np.int64]] = []
    for source in torch.unique(data.sources):
        people = np.unique(data.people[data.sources == source].numpy())
        draw.shuffle(people)
        count = round(share * len(people))
        held.append(people[:count])
        kept.append(people[count:])
    if min(sum(map(len, held)), sum(map(len, kept))) < 2:
        raise Malformed(
            f"{share:.3g} of the people is fewer than two, or all but one; a model's card needs"
            " people who were not trained on, and training others",
            code="held_out",
        )
    return data.only(np.sort(np.concatenate(kept))), data.only(np.sort(np.concatenate(held)))
