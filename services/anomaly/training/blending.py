"""A trained STAE and normal footage -> STAE+: what motion is normal, what scales the parts have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.mixture import GaussianMixture

from services.anomaly.core.blend import Blend, PartScale
from services.anomaly.core.density import Mixture
from services.anomaly.core.flow import Flow
from services.anomaly.core.motion import motion_of
from services.anomaly.scorer import Scorer
from services.anomaly.training.footage import read_frame
from services.anomaly.training.prior import PATCH, unknown_prior, with_prior
from services.anomaly.training.scoring import scored_windows
from shared.inference import Provider, open_session
from shared.model_store import StoredModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from services.anomaly.core.motion import MotionSettings, Traits
    from services.anomaly.training.footage import Recording
    from services.anomaly.training.prior import Scoring
    from shared.model_store import ModelCard

COMPONENTS = 5
"""Of the mixture: Reiss and Hoshen (2022) take five."""

ENOUGH_TRAITS = 20_000
"""Drawn from all that the footage shows: more change the mixture by less than its seed does."""

RARE = 0.999

LEAST_VARIANCE = 1e-3
"""Of a component, in standardised traits: none may close upon a single walker."""


def normal_motion(learnt: Sequence[Recording], settings: MotionSettings) -> Traits:
    """All traits of the footage. Nothing is left out that lies in unwatched regions: what drives on
    the road is no anomaly on the walkway, and what walks there is no more of one."""
    return np.concatenate(
        [
            motion_of(Flow([read_frame(path) for path in recording.frames]), settings).traits
            for recording in learnt
        ]
    )


def fit_mixture(traits: Traits, *, seed: int) -> Mixture:
    """(N, D), N at least the number of components."""
    random = np.random.default_rng(seed)
    drawn = traits[random.permutation(len(traits))[:ENOUGH_TRAITS]].astype(np.float64)
    mean, scale = drawn.mean(axis=0), drawn.std(axis=0) + 1e-6
    points = (drawn - mean) / scale
    fitted = GaussianMixture(COMPONENTS, reg_covar=LEAST_VARIANCE, random_state=seed).fit(points)
    return Mixture(
        mean=tuple(mean),
        scale=tuple(scale),
        weights=tuple(fitted.weights_),
        means=_nested(fitted.means_),
        choleskys=tuple(_nested(np.linalg.cholesky(one)) for one in fitted.covariances_),
        peak=float(fitted.score_samples(points).max()),
    )


def blended(
    model: StoredModel,
    settings: MotionSettings,
    scoring: Scoring,
    *,
    learnt: Sequence[Recording],
    held_out: Sequence[Recording],
    seed: int,
) -> ModelCard:
    """The card of STAE+ on a trained STAE: same file, its errors read together with the motion.

    learnt: footage whose motion is normal. held_out: on which the parts' scales and the prior
    are measured.
    """
    mixture = fit_mixture(normal_motion(learnt, settings), seed=seed)
    blend = _scaled(model, Blend(motion=settings, mixture=mixture), scoring, held_out)
    settled = model.card.settings | {"blend": blend.model_dump(mode="json")}
    card = model.card.model_copy(update={"settings": settled})
    return with_prior(card, model.path, scoring, held_out)


def _scaled(
    model: StoredModel, blend: Blend, scoring: Scoring, held_out: Sequence[Recording]
) -> Blend:
    """The blend with the scales of its parts, as held-out footage has them frame by frame."""
    unscaled = blend.model_copy(update={"steady": 1})
    settings = {"reading": scoring.reading.model_dump(), "blend": unscaled.model_dump(mode="json")}
    changes = {
        "settings": model.card.settings | settings,
        "anomaly": unknown_prior(scoring.frame, PATCH),
    }
    draft = StoredModel(model.card.model_copy(update=changes), model.path.parent)
    scorer = Scorer(draft, open_session(model.path, provider=Provider.CPU))
    frames = [
        parts
        for recording in held_out
        for _, errors in scored_windows(scorer, recording, stride=scoring.prior_stride)
        for parts in errors.parts
    ]
    scales = {
        f"{name}_scale": _scale([parts[name] for parts in frames], blend.knee) for name in frames[0]
    }
    return blend.model_copy(update=scales)


def _scale(logarithms: Sequence[float], knee: float) -> PartScale:
    """logarithms: what a part in no scale adds to frames. Quantiles pass through logarithms."""
    usual, rare = knee * np.expm1(np.quantile(logarithms, [0.5, RARE]))
    # Where nothing ever moves there is no range: a step of the distance itself is one then.
    return PartScale(usual=float(usual), range=float(rare - usual) or 1.0)


def _nested(matrix: NDArray[np.float64]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(map(float, row)) for row in matrix)
