"""What the gateway knows of a camera."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from shared.messages import Polygon

CameraId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


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
    such as the road beside a walkway.
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

    @property
    def place(self) -> str:
        """What groups alerts: the site, or the camera itself where none is named."""
        return self.site or self.id
