"""A camera's normal footage -> its baseline, built anew, and the threshold that keeps its budget"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.gateway.core.baseline import Baseline
from services.gateway.core.budget import threshold_for
from services.gateway.core.replay import replay

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.gateway.core.alarm import AlarmRule
    from services.gateway.core.budget import Threshold
    from services.gateway.core.replay import Raised
    from services.gateway.core.track import Track
    from shared.messages import Prior


@dataclass(frozen=True)
class Calibration:
    """baseline: with the threshold's open score. alerts: that it would have raised in the same
    footage."""

    baseline: Baseline
    threshold: Threshold
    alerts: list[Raised]


def calibrate(
    track: Track,
    prior: Prior,
    rule: AlarmRule,
    *,
    hour_of: Callable[[int], int],
    budget_per_day: float,
    silence_s: float,
) -> Calibration:
    """Learns the errors of a track, and judges the same track by what it has learnt.

    track: of one scoring context, with enough frames for a baseline to stand. rule: the camera's,
    whose open score is sought.
    """
    hours = track.hours(hour_of)
    baseline = Baseline()
    baseline.absorb(track.error, hours)
    scored = track.scored_by(baseline, prior, hours)
    threshold = threshold_for(scored, rule, budget_per_day, silence_s)
    baseline.open_score = threshold.open_score
    found = rule.model_copy(update={"open_score": threshold.open_score})
    return Calibration(baseline, threshold, replay(scored, found, silence_s))
