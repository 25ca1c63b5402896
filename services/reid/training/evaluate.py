"""A model and a protocol's trials -> similarities -> CMC and mAP."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from services.reid.core.centring import centre_cameras
from services.reid.core.evaluation import Labels, rank
from services.reid.core.outcome import Outcome
from services.reid.core.reranking import Reranking, rerank
from services.reid.embedder import check_crop
from shared.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from services.reid.training.crops import Crop
    from services.reid.training.protocols import Trial
    from shared.images import Pixels
    from shared.inference import Array

CHUNK = 64


class Embeds(Protocol):
    """Whatever makes unit vectors of crops."""

    def embed(self, crops: Sequence[Pixels]) -> Array: ...


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How vectors are made and compared; as they are, by their cosine, unless it says otherwise.

    flip: a crop's vector is the mean of its own and its mirror image's.
    centre_cameras: each camera's mean vector is taken away, over all crops of it that the trial
    shows. No label is looked at.
    reranking: by k-reciprocal neighbours; None: not.
    """

    flip: bool = False
    centre_cameras: bool = False
    reranking: Reranking | None = None


PLAIN = Comparison()


@dataclass(frozen=True, eq=False)
class Compared:
    """One trial and how alike its crops were found: (queries, gallery), larger is more alike."""

    trial: Trial
    similarity: Array

    @property
    def query(self) -> Labels:
        return _labels(self.trial.query)

    @property
    def gallery(self) -> Labels:
        return _labels(self.trial.gallery)


def evaluate(
    embedder: Embeds,
    trials: Sequence[Trial],
    progress: Callable[[int, int], None],
    comparison: Comparison = PLAIN,
) -> Outcome:
    """progress: (crops embedded, crops in all). Raises what `check_answerable` and `compare`
    raise."""
    check_answerable(trials)
    return outcome_of(compare(embedder, trials, progress, comparison))


def check_answerable(trials: Sequence[Trial]) -> None:
    """Raises Malformed (`nobody_answerable`) where a trial has no query with a right answer."""
    for trial in trials:
        cameras = defaultdict(set)
        for crop in trial.gallery:
            cameras[crop.person].add(crop.camera)
        if not any(cameras[crop.person] - {crop.camera} for crop in trial.query):
            raise Malformed(
                "nobody who is asked for is in the gallery through another camera: look whether"
                " the file names of both number people and cameras alike",
                code="nobody_answerable",
            )


def compare(
    embedder: Embeds,
    trials: Sequence[Trial],
    progress: Callable[[int, int], None],
    comparison: Comparison = PLAIN,
) -> list[Compared]:
    """Every crop is embedded once, in however many trials it stands. Raises Malformed for a crop
    that is no image, or cannot show a person."""
    crops = {crop.path: crop for trial in trials for crop in (*trial.query, *trial.gallery)}
    vectors = _embed_all(embedder, list(crops.values()), progress, flip=comparison.flip)
    return [Compared(trial, _similarity(trial, vectors, comparison)) for trial in trials]


def outcome_of(compared: Sequence[Compared]) -> Outcome:
    return Outcome([rank(one.similarity, one.query, one.gallery) for one in compared])


def _embed_all(
    embedder: Embeds,
    crops: Sequence[Crop],
    progress: Callable[[int, int], None],
    *,
    flip: bool,
) -> dict[Path, Array]:
    vectors: dict[Path, Array] = {}
    for start in range(0, len(crops), CHUNK):
        chunk = crops[start : start + CHUNK]
        decoded = [_read(crop) for crop in chunk]
        found = embedder.embed(decoded)
        if flip:
            found = found + embedder.embed(
                [np.ascontiguousarray(crop[:, ::-1]) for crop in decoded]
            )
            found = found / np.linalg.norm(found, axis=1, keepdims=True)
        vectors.update(zip((crop.path for crop in chunk), found, strict=True))
        progress(len(vectors), len(crops))
    return vectors


def _read(crop: Crop) -> Pixels:
    """Raises Malformed, with the crop's path."""
    pixels = crop.read()
    check_crop(pixels, str(crop.path))
    return pixels


def _similarity(trial: Trial, vectors: dict[Path, Array], comparison: Comparison) -> Array:
    shown = (*trial.query, *trial.gallery)
    of_all = np.stack([vectors[crop.path] for crop in shown])
    if comparison.centre_cameras:
        of_all = centre_cameras(of_all, _labels(shown).cameras)
    query, gallery = np.split(of_all, [len(trial.query)])
    similarity: Array = (
        query @ gallery.T
        if comparison.reranking is None
        else rerank(query, gallery, comparison.reranking).astype(np.float32)
    )
    return similarity


def _labels(crops: Iterable[Crop]) -> Labels:
    people, cameras = zip(*((crop.person, crop.camera) for crop in crops), strict=True)
    return Labels(np.array(people), np.array(cameras))
