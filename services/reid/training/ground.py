"""Real crops -> the ground on which made data sets are judged: who is trained on, who is asked for.

A camera left out of training is where a style can help: people are learnt on some cameras and found
on others, of which a training has no label.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from services.reid.core.centring import centre_cameras
from services.reid.core.evaluation import Labels, rank
from services.reid.training.crops import training_crops
from services.reid.training.pixels import LabelledPixels, labelled_pixels
from services.reid.training.protocols import market
from services.reid.training.trainer import Trainer, features_of
from shared.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from pathlib import Path

    from services.reid.core.evaluation import Ranking
    from services.reid.training.crops import Crop

PLAIN, CENTRED = "plain", "centred"

HELD_OUT_EVERY = 5
"""Of the training people in order, whom a validation asks for: settings are chosen on them."""


@dataclass(frozen=True, eq=False)
class Ground:
    """train: what is learnt from. shown: what is embedded at test, the `queries` first crops of
    which ask all of it."""

    train: LabelledPixels
    shown: LabelledPixels
    queries: int

    @property
    def digest(self) -> str:
        """SHA-256 of who is on the crops, in their order, and which cameras took them. Not of the
        pixels: resizing rounds otherwise on other machines, which may share a comparison."""
        digest = hashlib.sha256()
        for part in (self.train, self.shown):
            digest.update(part.named.numpy().tobytes())
            digest.update(part.cameras.numpy().tobytes())
        return digest.hexdigest()

    def rankings(self, trainer: Trainer) -> dict[str, Ranking]:
        """`plain`, and `centred`, each camera's mean vector taken away; no label is looked at."""
        plain = features_of(trainer, self.shown).numpy()
        cameras = self.shown.cameras.numpy()
        labels = Labels(self.shown.people.numpy(), cameras)
        asking = Labels(labels.people[: self.queries], cameras[: self.queries])
        return {
            name: rank(vectors[: self.queries] @ vectors.T, asking, labels)
            for name, vectors in ((PLAIN, plain), (CENTRED, centre_cameras(plain, cameras)))
        }


def market_ground(
    root: Path,
    train_cameras: Collection[int],
    test_cameras: Collection[int],
    *,
    validation: bool = False,
) -> Ground:
    """A folder of Market-1501's layout. The cameras are those of its names; of none given, all.

    validation: every fifth training person is asked for, by their first crop of each camera, and
    only the others are trained on; nobody of the test is looked at. Otherwise queries and gallery
    are those of the protocol `market`, without distractors; queries stand in the gallery, too, and
    so answer each other.
    Raises Missing for a folder without crops, Malformed (`no_ground`) where nobody is left.
    """
    crops = training_crops(root)
    if validation:
        held = set(sorted({crop.person for crop in crops if crop.person > 0})[4::HELD_OUT_EVERY])
        asked = _seen_by(test_cameras, (crop for crop in crops if crop.person in held))
        query = _first_of_each_camera(asked)
        crops = [crop for crop in crops if crop.person not in held]
    else:
        (trial,) = market(root)
        query, asked = _seen_by(test_cameras, trial.query), _seen_by(test_cameras, trial.gallery)
    learnt = _seen_by(train_cameras, crops)
    if not (learnt and query and asked):
        raise Malformed(
            f"{root} has nobody left to train on or to ask for on these cameras", code="no_ground"
        )
    return Ground(labelled_pixels([learnt]), labelled_pixels([[*query, *asked]]), len(query))


def _seen_by(cameras: Collection[int], crops: Iterable[Crop]) -> list[Crop]:
    return [crop for crop in crops if crop.person > 0 and (not cameras or crop.camera in cameras)]


def _first_of_each_camera(crops: Sequence[Crop]) -> list[Crop]:
    keys = np.array([(crop.person, crop.camera) for crop in crops]).reshape(-1, 2)
    firsts = np.unique(keys, axis=0, return_index=True)[1]
    return [crops[n] for n in sorted(firsts)]
