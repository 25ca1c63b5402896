"""Sightings of one person -> the stays and passages of their trajectory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.clock import SECOND_US

if TYPE_CHECKING:
    from collections.abc import Iterable

STAY_GAP_S = 10.0
"""Sightings at one camera with no longer a pause are one stay (ours)."""


@dataclass(frozen=True)
class Seen:
    """One sighting, as the trajectory needs it."""

    camera_id: str
    start_us: int
    end_us: int
    confidence: float
    crop: str


@dataclass(frozen=True)
class Stay:
    """A person at one camera without a longer pause. confidence: the mean of its sightings', by
    their length; crop: of the most confident one."""

    camera_id: str
    start_us: int
    end_us: int
    confidence: float
    sightings: int
    crop: str


def stays(sightings: Iterable[Seen], gap_s: float = STAY_GAP_S) -> list[Stay]:
    """The stays in the order of their start. Overlapping cameras give overlapping stays."""
    open_stays: dict[str, list[Seen]] = {}
    done: list[Stay] = []
    for seen in sorted(sightings, key=lambda s: (s.start_us, s.camera_id)):
        group = open_stays.get(seen.camera_id)
        if group and seen.start_us - max(s.end_us for s in group) > gap_s * SECOND_US:
            done.append(_stay(group))
            group = None
        if group is None:
            group = open_stays[seen.camera_id] = []
        group.append(seen)
    done += [_stay(group) for group in open_stays.values()]
    return sorted(done, key=lambda stay: (stay.start_us, stay.camera_id))


def _stay(group: list[Seen]) -> Stay:
    lengths = [max(seen.end_us - seen.start_us, 1) for seen in group]
    confidence = sum(
        seen.confidence * length for seen, length in zip(group, lengths, strict=True)
    ) / sum(lengths)
    return Stay(
        camera_id=group[0].camera_id,
        start_us=group[0].start_us,
        end_us=max(seen.end_us for seen in group),
        confidence=confidence,
        sightings=len(group),
        crop=max(group, key=lambda seen: seen.confidence).crop,
    )
