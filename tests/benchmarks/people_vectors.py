"""Crops of Market-1501 through a model -> vectors of as many people as a benchmark wants."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from services.reid.embedder import Embedder
from services.reid.training.crops import of_folder
from shared.images import decode
from shared.inference import Provider, open_session
from shared.model_store import ModelStore

if TYPE_CHECKING:
    from numpy.typing import NDArray

MODELS = Path(__file__).parents[2] / "models"
CROPS_OF_A_PERSON = 6
SIGHTINGS = 20
"""Of each person that is made."""

CHUNK = 100_000


@dataclass(frozen=True, eq=False)
class People:
    """means: (P, 256), of real people. residuals: (R, 256), what each of their crops differs by.
    made: how, for the report."""

    means: NDArray[np.float32]
    residuals: NDArray[np.float32]
    made: str

    def vectors(self, count: int, seed: int = 0) -> NDArray[np.float16]:
        """(count, 256), unit length, the sightings of one person one after the other.

        A person is a mixture of three real people's means, mostly of one; a sighting adds what one
        real crop, whosever, differed by from its own person's mean.
        """
        rng = np.random.default_rng(seed)
        found = np.empty((count, 256), np.float16)
        for start in range(0, count, CHUNK):
            size = min(CHUNK, count - start)
            people = -(-size // SIGHTINGS)
            shares = rng.dirichlet([0.6] * 3, people).astype(np.float32)
            parents = rng.integers(0, len(self.means), (people, 3))
            means = np.einsum("pk,pkd->pd", shares, self.means[parents])
            piece = means.repeat(SIGHTINGS, axis=0)[:size]
            piece += self.residuals[rng.integers(0, len(self.residuals), size)]
            piece /= np.linalg.norm(piece, axis=1, keepdims=True)
            found[start : start + size] = piece
        return found


@cache
def real_people(market: Path, model: str = "msp-cnn") -> People:
    """From the crops of a Market-1501 folder, six of each person."""
    cv2.setNumThreads(1)
    crops = [
        crop
        for _, own in groupby(of_folder(market / "bounding_box_train"), lambda crop: crop.person)
        for crop in list(own)[::2][:CROPS_OF_A_PERSON]
    ]
    stored = ModelStore(MODELS).load(model)
    embedder = Embedder(stored, open_session(stored.path, provider=Provider.CPU))
    vectors = np.concatenate(
        [
            embedder.embed([decode(crop.path.read_bytes(), "rgb") for crop in crops[n : n + 64]])
            for n in range(0, len(crops), 64)
        ]
    )
    _, person = np.unique([crop.person for crop in crops], return_inverse=True)
    means = np.stack([vectors[person == n].mean(axis=0) for n in range(person.max() + 1)])
    made = (
        f"{len(crops)} crops of {len(means)} people of Market-1501 through {model}; a person is a"
        f" mixture of three of their means, a sighting adds the residual of a real crop;"
        f" {SIGHTINGS} sightings each"
    )
    return People(means, vectors - means[person], made)
