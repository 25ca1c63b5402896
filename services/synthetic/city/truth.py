"""What is really there: people, anomalies, and where a frame shows them."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from shared.messages import Box


class AnomalyKind(StrEnum):
    VEHICLE_ON_WALKWAY = "vehicle_on_walkway"
    RUNNING = "running"
    AGAINST_THE_STREAM = "against_the_stream"
    LEFT_BEHIND = "left_behind"
    FALL = "fall"


class PersonTruth(NamedTuple):
    """box: exact extent of the drawn figure inside the frame, hidden parts included.

    visible_fraction: of the figure's pixels, those that are in the frame and not behind anything.
    """

    person_id: int
    box: Box
    visible_fraction: float


class AnomalyTruth(NamedTuple):
    """box: as of a person. visible_fraction too."""

    kind: AnomalyKind
    box: Box
    visible_fraction: float


class FrameTruth(NamedTuple):
    people: tuple[PersonTruth, ...]
    anomalies: tuple[AnomalyTruth, ...]


class AnomalyInterval(NamedTuple):
    """From the first to the last frame in which the anomalous thing is visible in that camera.

    start_s and end_s are the times of these two frames; both belong to the interval.
    """

    camera_id: str
    kind: AnomalyKind
    start_s: float
    end_s: float

    def covers(self, camera_id: str, time_s: float) -> bool:
        return self.camera_id == camera_id and self.start_s <= time_s <= self.end_s
