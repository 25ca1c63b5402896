"""One trained model, its errors read in several ways -> what each way is worth.

The network runs once for all of them; only what is made of its reconstructions differs.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from services.anomaly.core.error_map import Reading
from services.anomaly.scorer import Scorer, blend_of
from services.anomaly.training.evaluation import traces_of, whole_recording
from services.anomaly.training.judge import Judge
from services.anomaly.training.latent import LatentScorer
from shared.errors import Malformed
from shared.inference import Provider, open_session
from shared.model_store import StoredModel

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from numpy.typing import NDArray

    from services.anomaly.core.error_map import FrameScoring
    from services.anomaly.training.evaluation import EvaluationSettings
    from services.anomaly.training.judge import Rows
    from services.anomaly.training.latent import LatentDensity
    from services.anomaly.training.protocols import TestSet
    from shared.inference import Array, Session
    from shared.model_store import ModelCard

AS_IN_THE_PAPER = Reading()
NOTHING = {"reconstruction_scale": {"range": float("inf")}}
"""In an endless range the reconstruction adds nothing."""
MOTION_ALONE, PLUS = "motion alone", "STAE+"
LINEAR = {"knee": 100.0}


@dataclass(frozen=True)
class Variant:
    """One way of reading a model's errors. blend: changes of the card's, whose scales stay; None:
    no blend at all."""

    name: str
    score: FrameScoring
    reading: Reading = AS_IN_THE_PAPER
    blend: dict[str, Any] | None = None

    def of(self, card: ModelCard) -> ModelCard:
        """The card as this variant has it. Its prior is no longer true."""
        settings = card.settings | {"reading": self.reading.model_dump()}
        blend = settings.pop("blend", None)
        if self.blend is not None and blend is not None:
            settings["blend"] = blend | self.blend
        if card.anomaly is None:
            raise Malformed(f"{card.name} scores no anomalies", code="no_anomaly_model")
        prior = card.anomaly.model_copy(update={"score": self.score})
        return card.model_copy(update={"settings": settings, "anomaly": prior})


RECONSTRUCTION = (
    Variant("mean error (the paper)", "mean"),
    Variant("largest patch", "max_patch"),
    Variant("largest region", "largest_region"),
    Variant("largest patch of what moves", "max_patch", Reading(moving=True)),
    Variant("largest patch, maps smoothed", "max_patch", Reading(patches=2, frames=3)),
    Variant("largest patch, steadied", "max_patch", Reading(steady=9)),
)
BLENDED = (
    Variant(MOTION_ALONE, "max_patch", blend=NOTHING),
    Variant(
        "motion alone, nothing averaged",
        "max_patch",
        blend=NOTHING | {"motion_frames": 1, "steady": 1},
    ),
    Variant("STAE+, nothing averaged", "max_patch", blend={"motion_frames": 1, "steady": 1}),
    Variant("STAE+, parts added as they are", "max_patch", blend=LINEAR),
    Variant(PLUS, "max_patch", blend={}),
)


def ablate(
    model: StoredModel,
    tests: TestSet,
    settings: EvaluationSettings,
    say: Callable[[str], None],
    density: LatentDensity | None = None,
) -> dict[str, Rows]:
    """Rows by the variants' names; those of the blend where the model has one, and those of the
    latent density where there is one of this model.

    say: hears each variant's name when it begins. Raises as `evaluate`.
    """
    judge = Judge(tests, settings.judge)
    rows = {}
    for name, scorer in _scorers(model, density).items():
        say(name)
        traces = [
            traces_of(
                scorer,
                whole_recording(clip.recording, scorer, tests),
                len(clip.recording),
                settings.regimes,
            )
            for clip in tests.clips
        ]
        rows[name] = judge.rows(traces)
    return rows


def _scorers(model: StoredModel, density: LatentDensity | None) -> dict[str, Scorer]:
    session = _Remembering(open_session(model.path, provider=Provider.CPU))
    variants = RECONSTRUCTION + (BLENDED if blend_of(model.card) else ())
    scorers = {
        variant.name: Scorer(StoredModel(variant.of(model.card), model.path.parent), session)
        for variant in variants
    }
    if density is not None:
        scorers["latent density alone"] = LatentScorer(model, session, density, alone=True)
        scorers["the model, and latent density"] = LatentScorer(
            model, session, density, alone=False
        )
    return scorers


class _Remembering:
    """A session that computes no batch twice. Answers are kept in half precision, which is off by
    less than a sixteenth of a gray level."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.provider, self.precision = session.provider, session.precision
        self._answers: dict[bytes, list[NDArray[np.float16]]] = {}

    def __call__(self, *inputs: Array) -> list[Array]:
        asked = blake2b(b"".join(one.tobytes() for one in inputs), digest_size=16).digest()
        if asked not in self._answers:
            self._answers[asked] = [one.astype(np.float16) for one in self._session(*inputs)]
        return [one.astype(np.float32) for one in self._answers[asked]]
