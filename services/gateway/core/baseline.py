"""Raw errors of a camera -> scores that mean the same at every camera.

A score of 0 is the camera's usual frame, 1 the error that a normal frame exceeds once in a thousand
times. The formulas and constants here are ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from datasketches import kll_floats_sketch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.messages import Prior

STANDING_FRAMES = 1_500
"""Frames after which a camera's own quantiles stand: five minutes at five frames a second."""

SPREAD_FRAMES = 10_000
"""Frames at which the camera's own far quantile weighs as much as the prior's: it takes thousands
of frames to see one in a thousand."""

SKETCH_K = 400
"""Size of the quantile sketch: a rank error of about 0.6 %."""


@dataclass(frozen=True)
class Levels:
    """Where a camera's scale begins and where its 1 lies, in raw error. learning: the camera's own
    quantiles do not stand yet."""

    usual: float
    rare: float
    learning: bool

    def score(self, error: float) -> float:
        return (error - self.usual) / (self.rare - self.usual)


class Baseline:
    """The errors of one camera in one scoring context, as a quantile sketch."""

    def __init__(self, sketch: bytes | None = None) -> None:
        self._sketch = (
            kll_floats_sketch.deserialize(sketch) if sketch else kll_floats_sketch(SKETCH_K)
        )

    @property
    def frames(self) -> int:
        return int(self._sketch.n)

    def pack(self) -> bytes:
        return bytes(self._sketch.serialize())

    def absorb(self, errors: Sequence[float]) -> None:
        self._sketch.update(np.asarray(errors, np.float32))

    def levels(self, prior: Prior) -> Levels:
        """Where the camera stands now.

        Its usual error is its median, which half of all frames would have to be abnormal to move;
        while learning, never below the model card's, so that a quiet first minute makes no hair
        trigger. How far the rare lies above the usual is taken from the card, and passes to the
        camera's own quantiles as these are filled.
        """
        ratio = prior.q999 / prior.q50
        if self.frames == 0:
            return Levels(prior.q50, prior.q999, learning=True)
        median, far = self._sketch.get_quantiles([0.5, 0.999])
        learning = self.frames < STANDING_FRAMES
        usual = max(median, prior.q50) if learning else max(median, 0.1 * prior.q50)
        own = self.frames / (self.frames + SPREAD_FRAMES)
        own_ratio = max(far / max(median, 1e-12), 1.0 + 0.25 * (ratio - 1.0))
        spread = math.exp((1 - own) * math.log(ratio) + own * math.log(own_ratio))
        return Levels(usual, usual * spread, learning)
