"""Normal footage that the model has not learnt from -> what its error looks like there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from services.anomaly.scorer import Scorer
from services.anomaly.training.scoring import scored_windows
from shared.errors import Malformed
from shared.inference import Provider, open_session
from shared.messages import Prior
from shared.model_store import AnomalyPrior, ModelCard, StoredModel

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from services.anomaly.core.error_map import FrameScoring, Reading
    from services.anomaly.training.footage import Recording

PATCH = 8
"""Side of a patch of the error map, in pixels of the network's input (ours)."""

QUANTILES = {"q50": 0.5, "q95": 0.95, "q99": 0.99, "q999": 0.999}

LEAST_USUAL = 0.1
"""The quantiles are never held for less than this share of the farthest (ours): where nothing moves
in most frames these have no error at all, and a scale needs somewhere to begin."""


@dataclass(frozen=True)
class Scoring:
    """How the model's errors are to be read: part of the card, since the prior depends on it.

    prior_stride: frames between the windows on which the prior is measured.
    """

    frame: FrameScoring
    reading: Reading
    prior_stride: int


def with_prior(
    card: ModelCard, file: Path, scoring: Scoring, held_out: Sequence[Recording]
) -> ModelCard:
    """The card of a model whose errors are read so, and what normal footage then looks like.

    file: the model's ONNX file. held_out: what it has not learnt from.
    """
    settings = card.settings | {"reading": scoring.reading.model_dump()}
    prior = unknown_prior(scoring.frame, PATCH)
    draft = card.model_copy(update={"settings": settings, "anomaly": prior})
    scorer = Scorer(StoredModel(draft, file.parent), open_session(file, provider=Provider.CPU))
    measured = measure_prior(scorer, prior, held_out, stride=scoring.prior_stride)
    return draft.model_copy(update={"anomaly": measured})


def unknown_prior(score: FrameScoring, patch: int) -> AnomalyPrior:
    """Stands in until the prior has been measured: nothing is above its thresholds."""
    infinite = Prior(**dict.fromkeys(QUANTILES, np.inf))
    return AnomalyPrior(score=score, patch=patch, frame=infinite, patch_q999=np.inf, frames=0)


def measure_prior(
    scorer: Scorer, prior: AnomalyPrior, held_out: Sequence[Recording], *, stride: int
) -> AnomalyPrior:
    """The prior with its quantiles, over every frame of every window.

    A frame counts once for each window that covers it, for that is how a camera meets it: with
    whatever place it happens to have in its clip.

    Raises Malformed (`nothing_moves`) for footage whose frames all have the same error, or none:
    it does not say what is rare.
    """
    errors, maps = [], []
    for recording in held_out:
        for _, clip in scored_windows(scorer, recording, stride=stride):
            errors.append(clip.frame_errors)
            maps.append(clip.maps.ravel())
    frame = np.concatenate(errors)
    quantiles = {name: float(np.quantile(frame, share)) for name, share in QUANTILES.items()}
    if quantiles["q999"] <= quantiles["q50"]:
        raise Malformed(
            f"the error is {quantiles['q50']:.3g} in all of the {len(frame)} frames that were held"
            " out, so that nothing says what is rare; take footage in which something moves",
            code="nothing_moves",
        )
    least = LEAST_USUAL * quantiles["q999"]
    quantiles = {name: max(value, least) for name, value in quantiles.items()}
    return prior.model_copy(
        update={
            "frame": Prior(**quantiles),
            "patch_q999": float(np.quantile(np.concatenate(maps), 0.999)),
            "frames": sum(len(recording) for recording in held_out),
        }
    )
