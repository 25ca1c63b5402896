"""A model and a protocol's trials -> CMC and mAP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from services.reid.core.evaluation import Labels, mean_of, rank
from shared import images

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from services.reid.core.evaluation import Ranking
    from services.reid.training.crops import Crop
    from services.reid.training.protocols import Trial
    from shared.images import Pixels
    from shared.inference import Array

CHUNK = 64


class Embeds(Protocol):
    """Whatever makes unit vectors of crops."""

    def embed(self, crops: Sequence[Pixels]) -> Array: ...


def evaluate(
    embedder: Embeds, trials: Sequence[Trial], progress: Callable[[int, int], None]
) -> Ranking:
    """The mean over the trials. progress: (crops embedded, crops in all)."""
    crops = {crop.path: crop for trial in trials for crop in (*trial.query, *trial.gallery)}
    vectors = _embed_all(embedder, list(crops), progress)
    return mean_of([_rank(trial, vectors) for trial in trials])


def _embed_all(
    embedder: Embeds, paths: Sequence[Path], progress: Callable[[int, int], None]
) -> dict[Path, Array]:
    vectors: dict[Path, Array] = {}
    for start in range(0, len(paths), CHUNK):
        chunk = paths[start : start + CHUNK]
        decoded = [images.decode(path.read_bytes(), "rgb") for path in chunk]
        vectors.update(zip(chunk, embedder.embed(decoded), strict=True))
        progress(len(vectors), len(paths))
    return vectors


def _rank(trial: Trial, vectors: dict[Path, Array]) -> Ranking:
    query, gallery = (
        np.stack([vectors[crop.path] for crop in crops]) for crops in (trial.query, trial.gallery)
    )
    return rank(query @ gallery.T, _labels(trial.query), _labels(trial.gallery))


def _labels(crops: Iterable[Crop]) -> Labels:
    people, cameras = zip(*((crop.person, crop.camera) for crop in crops), strict=True)
    return Labels(np.array(people), np.array(cameras))
