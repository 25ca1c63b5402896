"""Raw errors of a camera -> scores that mean the same at every camera.

A score of 0 is the camera's usual frame, 1 the error that a normal frame exceeds once in a thousand
times. What is usual differs by the hour of the camera's day: each hour has a digest of its own
beside the whole, and is drawn toward the whole until it holds enough frames, as the whole is drawn
toward the model card's prior. The formulas and constants here are ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from datasketches import tdigest_float

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from shared.messages import Prior

STANDING_FRAMES = 1_500
"""Frames after which a camera's own quantiles stand: five minutes at five frames a second."""

SPREAD_FRAMES = 10_000
"""Frames at which the camera's own far quantile weighs as much as the prior's: it takes thousands
of frames to see one in a thousand."""

HOUR_FRAMES = 9_000
"""Frames at which an hour's own median weighs as much as the whole's: half an hour at five frames
a second. From then on the hour stands."""

DIGEST_SIZE = 200
"""Compression of the t-digests (Dunning and Ertl, Computing extremely accurate quantiles using
t-digests, 2019): at most 2.5 kB each; the median's rank is right to 0.015, that of the 999th
thousandth to 0.0001."""

LEAST_USUAL = 0.1
"""The usual error is never held for less than this share of the card's median."""

LEAST_SPREAD = 0.25
"""The rare lies above the usual by no less than this share of what it does on the card."""


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
    """The errors of one camera in one scoring context, as quantile digests.

    digest: of all, packed. hours: packed digests of those hours (0 to 23) that will be asked for.
    open_score: what a calibration has found on this scale.
    """

    def __init__(
        self,
        digest: bytes | None = None,
        hours: Mapping[int, bytes] | None = None,
        open_score: float | None = None,
    ) -> None:
        self._whole = _digest(digest)
        self._hours = {hour: _digest(packed) for hour, packed in (hours or {}).items()}
        self._taught: set[int] = set()
        self.open_score = open_score

    @property
    def frames(self) -> int:
        return int(self._whole.get_total_weight())

    @property
    def frames_by_hour(self) -> dict[int, int]:
        return {
            hour: int(digest.get_total_weight()) for hour, digest in sorted(self._hours.items())
        }

    def pack(self) -> bytes:
        return bytes(self._whole.serialize())

    def pack_hours(self, *, taught_only: bool = False) -> dict[int, bytes]:
        """The digests by hour; taught_only: of those hours that have learnt since it was made."""
        return {
            hour: bytes(digest.serialize())
            for hour, digest in self._hours.items()
            if not taught_only or hour in self._taught
        }

    def absorb(
        self,
        errors: Sequence[float] | npt.NDArray[np.float64],
        hours: Sequence[int] | npt.NDArray[np.int64] = (),
    ) -> None:
        """Learns. hours: the hour of the camera's day of each error, or none at all."""
        learnt = np.asarray(errors, np.float32)
        self._whole.update(learnt)
        of_hour = np.asarray(hours, np.int64)
        for hour in np.unique(of_hour).tolist():
            self._hours.setdefault(hour, _digest()).update(learnt[of_hour == hour])
            self._taught.add(hour)

    def levels(self, prior: Prior, hour: int | None = None) -> Levels:
        """Where the camera stands now: at that hour, or over the whole day.

        Its usual error is its median, which half of all frames would have to be abnormal to move;
        while learning, never below the model card's, so that a quiet first minute makes no hair
        trigger. How far the rare lies above the usual is taken from the card, and passes to the
        camera's own quantiles as these are filled. An hour is told apart once the whole stands.

        Where nothing moves in most frames the median says nothing of those in which something
        does. These are many among the loudest hundredth, by which the rare is then expected: no
        higher than on the card, so that an early anomaly does not hide behind itself.
        """
        ratio = prior.q999 / prior.q50
        if self.frames == 0:
            return Levels(prior.q50, prior.q999, learning=True)
        median, own_ratio = _shape(self._whole, prior)
        learning = self.frames < STANDING_FRAMES
        usual = max(median, prior.q50) if learning else median
        loud = min(self._whole.get_quantile(0.99) / prior.q99, 1.0) * prior.q999
        spread = _between(
            max(ratio, loud / usual), own_ratio, self.frames / (self.frames + SPREAD_FRAMES)
        )
        of_hour = None if learning or hour is None else self._hours.get(hour)
        if of_hour is not None:
            median, own_ratio = _shape(of_hour, prior)
            frames = of_hour.get_total_weight()
            usual = _between(usual, median, frames / (frames + HOUR_FRAMES))
            spread = _between(spread, own_ratio, frames / (frames + SPREAD_FRAMES))
        return Levels(usual, usual * spread, learning)


def _digest(packed: bytes | None = None) -> tdigest_float:
    return tdigest_float.deserialize(packed) if packed else tdigest_float(DIGEST_SIZE)


def _shape(digest: tdigest_float, prior: Prior) -> tuple[float, float]:
    """A digest's median, as far as it can be one's usual error, and how many times that the error
    of one frame in a thousand is: a ratio to the bare median of still frames, which is 0, would put
    the rare out of reach."""
    median = max(digest.get_quantile(0.5), LEAST_USUAL * prior.q50)
    least = 1.0 + LEAST_SPREAD * (prior.q999 / prior.q50 - 1.0)
    return median, max(digest.get_quantile(0.999) / median, least)


def _between(prior: float, own: float, weight: float) -> float:
    """From the prior (weight 0) to one's own (1), in proportion: errors are of any magnitude."""
    return math.exp((1 - weight) * math.log(prior) + weight * math.log(own))
