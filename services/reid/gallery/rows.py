"""Tracklets as messages, as rows of the tables, and as identity sees them"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ulid import ULID

from services.reid.core.identity import Appearance
from services.reid.core.looks import Looks
from services.reid.core.overlap import Stand
from services.reid.core.tracking import Step
from services.reid.gallery.tables import How, TrackletRow
from shared.clock import SECOND_US
from shared.messages import Box, Detection, Sighting

if TYPE_CHECKING:
    from shared.messages import Tracklet, TrackletsEmbedded


def row_of(
    message: TrackletsEmbedded, tracklet: Tracklet, trail: TrackletRow | None, revision: int
) -> TrackletRow:
    """A new tracklet; one that continues a trail is of the trail's person."""
    times = [detection.captured_us for detection in tracklet.detections]
    known = trail is not None and trail.person_id is not None
    return TrackletRow(
        name=f"{message.clip_id}/{tracklet.n}",
        camera_id=message.camera_id,
        track_id=trail.track_id if trail else str(ULID()),
        start_us=min(times),
        end_us=max(times),
        boxes=[
            [d.captured_us, d.box.x, d.box.y, d.box.width, d.box.height]
            for d in tracklet.detections
        ],
        vector=tracklet.vector,
        model_digest=message.model_digest or "",
        quality=tracklet.quality,
        crop=tracklet.crop,
        person_id=trail.person_id if trail else None,
        confidence=trail.confidence if trail and known else 0.0,
        how=How.CONTINUED if known else How.WAITING,
        revision=revision,
    )


def appearance_of(tracklet: Tracklet) -> Appearance:
    steps = tuple(Step(d.captured_us / SECOND_US, d.box) for d in tracklet.detections)
    return Appearance(steps, looks_of(tracklet))


def stored_appearance(row: TrackletRow) -> Appearance:
    steps = tuple(
        Step(t / SECOND_US, Box(x=x, y=y, width=width, height=height))
        for t, x, y, width, height in row.boxes
    )
    return Appearance(steps, looks_of(row))


def stands_of(row: TrackletRow) -> list[Stand]:
    """Where somebody's feet were, in the order of time."""
    return [Stand.of(step.time_s, step.box) for step in stored_appearance(row).steps]


def looks_of(stored: Tracklet | TrackletRow) -> Looks:
    return Looks(np.frombuffer(stored.vector, "<f2").astype(np.float32), stored.quality)


def sighting_of(row: TrackletRow) -> Sighting:
    return Sighting(
        sighting_id=row.name,
        person_id=row.person_id or "",
        confidence=row.confidence,
        detections=tuple(
            Detection(captured_us=int(t), box=Box(x=x, y=y, width=width, height=height))
            for t, x, y, width, height in row.boxes
        ),
        crop=row.crop,
        quality=row.quality,
    )
