"""Signs of tampering in camera time -> an alarm for each kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field

from services.gateway.core.alarm import Alarm, AlarmRule, Phase
from shared.clock import SECOND_US

if TYPE_CHECKING:
    from collections.abc import Iterable


class TamperingRule(BaseModel):
    """As AlarmRule, over signs of tampering instead of scores: 1 is a kind's threshold. A lorry
    that stops before the lens is gone again within min_duration_s (ours)."""

    model_config = ConfigDict(frozen=True)

    open_score: Annotated[float, Field(gt=0)] = 1.0
    close_score: Annotated[float, Field(gt=0)] = 0.8
    min_duration_s: Annotated[float, Field(ge=0)] = 15.0
    quiet_s: Annotated[float, Field(ge=0)] = 5.0
    cooldown_s: Annotated[float, Field(ge=0)] = 60.0

    @property
    def alarm_rule(self) -> AlarmRule:
        """Without caution: nothing is told before a camera's usual view is known."""
        return AlarmRule(**self.model_dump())


def suspicion(alarms: Iterable[Alarm]) -> Phase:
    """Open where an alert is, rising where one may come, quiet where the view is as usual."""
    phases = {alarm.phase for alarm in alarms}
    if Phase.OPEN in phases:
        return Phase.OPEN
    return Phase.RISING if Phase.RISING in phases else Phase.QUIET


BEFORE_RISE_S = 10.0
"""An anomaly that began no longer before the rise was the hand before the lens (ours)."""


def is_part_of(anomaly_us: int, rise_us: int) -> bool:
    """Whether an anomaly that began then was the beginning of the tampering that rose then."""
    return anomaly_us >= rise_us - BEFORE_RISE_S * SECOND_US
