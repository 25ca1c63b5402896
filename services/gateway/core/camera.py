"""What the gateway knows of a camera."""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from services.gateway.core.alarm import OwnRule
from shared.clock import from_us
from shared.messages import Polygon

CameraId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


UTC_ZONE = "UTC"


@cache
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _known_zone(name: str) -> str:
    try:
        _zone(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone of the IANA database") from None
    return name


TimeZone = Annotated[str, Field(max_length=64), AfterValidator(_known_zone)]
"""A name of the IANA time zone database, such as Asia/Shanghai."""

AlertBudget = Annotated[float, Field(gt=0, le=100)]
"""Alerts a day that a camera may raise in normal footage."""


class CameraMode(StrEnum):
    """live: frames are of now. archive: old footage is pushed, as fast as it is taken."""

    LIVE = "live"
    ARCHIVE = "archive"


class Location(BaseModel):
    """Where a camera stands: WGS 84 degrees."""

    model_config = ConfigDict(frozen=True)

    latitude: Annotated[float, Field(ge=-90, le=90)]
    longitude: Annotated[float, Field(ge=-180, le=180)]


class Camera(BaseModel):
    """A registered camera.

    site: the place that it watches; alerts of one site are grouped into incidents. analysis_fps:
    frames a second that are analysed, the rest is thinned. stride: new frames from one window to
    the next (None: the gateway's setting). masks: regions blackened before anything is scored or
    stored. unwatched: regions that are seen as they are, but in which nothing counts as an anomaly,
    such as the road beside a walkway. time_zone: whose hours its baseline learns (None: UTC).
    alarm_rule: where its alarm differs from the service's. alert_budget_per_day: what calibration
    looks for a threshold for (None: the service's).
    """

    model_config = ConfigDict(frozen=True)

    id: CameraId
    name: Annotated[str, Field(max_length=200)]
    site: Annotated[str, Field(max_length=200)] = ""
    location: Location | None = None
    mode: CameraMode = CameraMode.LIVE
    analysis_fps: Annotated[float, Field(gt=0, le=30)] = 5.0
    stride: Annotated[int, Field(ge=1)] | None = None
    masks: tuple[Polygon, ...] = ()
    unwatched: tuple[Polygon, ...] = ()
    time_zone: TimeZone | None = None
    alarm_rule: OwnRule | None = None
    alert_budget_per_day: AlertBudget | None = None

    def hour_of(self, captured_us: int) -> int:
        """The hour of the camera's day at that moment, 0 to 23."""
        return from_us(captured_us).astimezone(_zone(self.time_zone or UTC_ZONE)).hour

    @property
    def place(self) -> str:
        """What groups alerts: the site, or the camera itself where none is named."""
        return self.site or self.id
