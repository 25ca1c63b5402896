"""A camera's stored frames, in the order of capture: their times, raw errors and scores."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from shared.clock import SECOND_US

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from services.gateway.core.baseline import Baseline
    from shared.messages import Prior

DAY_S = 86_400.0

QUARTER_US = 900 * SECOND_US
"""No time zone begins its hours between the quarters of an hour of UTC."""


@dataclass(frozen=True)
class Track:
    """captured_us (N,) ascending; error (N,) raw; score (N,) on the scale of some baseline."""

    captured_us: npt.NDArray[np.int64]
    error: npt.NDArray[np.float64]
    score: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.captured_us)

    @property
    def days(self) -> float:
        """Of footage that was seen: each frame stands for the usual interval between two, so that
        gaps count for nothing."""
        if len(self) < 2:
            return 0.0
        interval_us = float(np.median(np.diff(self.captured_us)))
        return len(self) * interval_us / SECOND_US / DAY_S

    def without(self, spans: Sequence[tuple[int, int]]) -> Track:
        """The track but the frames within half-open spans of microseconds."""
        kept = np.ones(len(self), bool)
        for start_us, end_us in spans:
            kept &= (self.captured_us < start_us) | (self.captured_us >= end_us)
        return Track(self.captured_us[kept], self.error[kept], self.score[kept])

    def with_others(self, others: Track) -> Track:
        """The frames of both, in the order of capture."""
        captured_us = np.concatenate([self.captured_us, others.captured_us])
        order = np.argsort(captured_us, kind="stable")
        error = np.concatenate([self.error, others.error])
        score = np.concatenate([self.score, others.score])
        return Track(captured_us[order], error[order], score[order])

    def hours(self, hour_of: Callable[[int], int]) -> npt.NDArray[np.int64]:
        """(N,) The hour of the camera's day of each frame."""
        quarters, of_quarter = np.unique(self.captured_us // QUARTER_US, return_inverse=True)
        hours = [hour_of(quarter * QUARTER_US) for quarter in quarters.tolist()]
        return np.asarray(hours, np.int64)[of_quarter]

    def scored_by(self, baseline: Baseline, prior: Prior, hours: npt.NDArray[np.int64]) -> Track:
        """The same errors as scores on another baseline's scale."""
        score = np.empty(len(self))
        for hour in np.unique(hours).tolist():
            levels = baseline.levels(prior, hour)
            of_hour = hours == hour
            score[of_hour] = (self.error[of_hour] - levels.usual) / (levels.rare - levels.usual)
        return replace(self, score=score)
