"""Scores in camera time -> an alarm that opens, peaks and closes."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from shared.clock import SECOND_US
from shared.errors import Malformed


class Severity(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        return list(Severity).index(self)


class AlarmRule(BaseModel):
    """When a camera's scores raise an alert. Seconds are the camera's. The defaults are ours, and
    were chosen on days of the simulated city that no demo shows (DECISIONS.md).

    open_score: must be reached for min_duration_s. close_score: hysteresis; below it for
    quiet_s the alert closes. cooldown_s: a new rise so soon after opens the same alert again.
    caution: what open_score is multiplied with while the camera is learning, beside the floor under
    its usual error and the lower severity, which are caution enough for most.
    """

    model_config = ConfigDict(frozen=True)

    open_score: Annotated[float, Field(gt=0)] = 0.5
    close_score: Annotated[float, Field(gt=0)] = 0.3
    min_duration_s: Annotated[float, Field(ge=0)] = 0.6
    quiet_s: Annotated[float, Field(ge=0)] = 3.0
    cooldown_s: Annotated[float, Field(ge=0)] = 10.0
    caution: Annotated[float, Field(ge=1)] = 1.0


class OwnRule(BaseModel):
    """What a camera has otherwise than the service's AlarmRule; what is None is the service's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    open_score: Annotated[float, Field(gt=0)] | None = None
    close_score: Annotated[float, Field(gt=0)] | None = None
    min_duration_s: Annotated[float, Field(ge=0)] | None = None
    quiet_s: Annotated[float, Field(ge=0)] | None = None
    cooldown_s: Annotated[float, Field(ge=0)] | None = None

    def check_over(self, rule: AlarmRule) -> None:
        """Raises Malformed where it would close an alert above where the two together open it."""
        open_score = self.open_score or rule.open_score
        if self.close_score is not None and self.close_score > open_score:
            raise Malformed(
                f"close_score {self.close_score} is above the open_score of {open_score}",
                code="rule_contradiction",
            )


def rule_in_force(
    service: AlarmRule, own: OwnRule | None, calibrated_open_score: float | None
) -> AlarmRule:
    """The service's rule, but what the camera has otherwise; between the two stands the open score
    of the camera's calibration. An alert never closes above where it opens."""
    known = {} if calibrated_open_score is None else {"open_score": calibrated_open_score}
    known |= own.model_dump(exclude_none=True) if own else {}
    rule = service.model_copy(update=known)
    return rule.model_copy(update={"close_score": min(rule.close_score, rule.open_score)})


class Phase(StrEnum):
    QUIET = "quiet"
    RISING = "rising"
    OPEN = "open"


class Alarm(BaseModel):
    """The state of one camera's alarm.

    since_us: start of the rise. loud_us: newest frame at or above close_score. closed_us: end of
    the last alert, `alert_id`. peak_*: of this rise.
    """

    model_config = ConfigDict(frozen=True)

    phase: Phase = Phase.QUIET
    alert_id: str | None = None
    since_us: int = 0
    loud_us: int = 0
    closed_us: int | None = None
    peak_us: int = 0
    peak_score: float = 0.0


class Turn(StrEnum):
    """What a frame did to the alarm."""

    OPENED = "opened"
    REOPENED = "reopened"
    PEAKED = "peaked"
    CLOSED = "closed"


def hear(
    alarm: Alarm, captured_us: int, score: float, rule: AlarmRule, *, learning: bool
) -> tuple[Alarm, Turn | None]:
    """The alarm after one more frame. Frames come in the order of capture."""
    opens_at = rule.open_score * (rule.caution if learning else 1.0)
    if alarm.phase is Phase.OPEN:
        return _hear_open(alarm, captured_us, score, rule)
    if score < opens_at:
        # A rise survives a dip that stays above the lower threshold.
        if alarm.phase is Phase.RISING and score >= rule.close_score:
            return alarm, None
        return alarm.model_copy(update={"phase": Phase.QUIET}), None
    if alarm.phase is Phase.QUIET:
        alarm = alarm.model_copy(
            update={"phase": Phase.RISING, "since_us": captured_us, "peak_score": 0.0}
        )
    alarm = _peaked(alarm, captured_us, score)
    if captured_us - alarm.since_us < rule.min_duration_s * SECOND_US:
        return alarm, None
    again = (
        alarm.closed_us is not None
        and alarm.since_us - alarm.closed_us <= rule.cooldown_s * SECOND_US
    )
    opened = {"phase": Phase.OPEN, "loud_us": captured_us}
    return alarm.model_copy(update=opened), Turn.REOPENED if again else Turn.OPENED


def _hear_open(
    alarm: Alarm, captured_us: int, score: float, rule: AlarmRule
) -> tuple[Alarm, Turn | None]:
    if score >= rule.close_score:
        louder = score > alarm.peak_score
        alarm = alarm.model_copy(update={"loud_us": captured_us})
        return _peaked(alarm, captured_us, score), Turn.PEAKED if louder else None
    if captured_us - alarm.loud_us >= rule.quiet_s * SECOND_US:
        return close(alarm), Turn.CLOSED
    return alarm, None


def close(alarm: Alarm) -> Alarm:
    """The alarm after its frames have stopped, or have been quiet for long enough."""
    return alarm.model_copy(update={"phase": Phase.QUIET, "closed_us": alarm.loud_us})


def fall_silent(alarm: Alarm) -> Alarm:
    """The alarm after its frames have stopped: what was open is closed, what rose has not come."""
    return (
        close(alarm)
        if alarm.phase is Phase.OPEN
        else alarm.model_copy(update={"phase": Phase.QUIET})
    )


def _peaked(alarm: Alarm, captured_us: int, score: float) -> Alarm:
    if score <= alarm.peak_score:
        return alarm
    return alarm.model_copy(update={"peak_us": captured_us, "peak_score": score})


LOUDNESS = ((2.5, Severity.CRITICAL), (1.5, Severity.HIGH), (1.0, Severity.MEDIUM))


def severity_of(peak_score: float, *, learning: bool) -> Severity:
    """How grave an alert is by its peak; one step less while the camera is learning."""
    severity = next((s for loudness, s in LOUDNESS if peak_score >= loudness), Severity.LOW)
    if learning and severity is not Severity.LOW:
        return list(Severity)[severity.rank - 1]
    return severity
