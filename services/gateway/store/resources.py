"""Rows -> what REST shows and events carry: the same words in both."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel

from services.gateway.core.alarm import Severity
from services.gateway.core.camera import Camera, Location
from services.gateway.core.kinds import AlertKind
from services.gateway.store.cameras import camera_of
from shared.clock import from_us

if TYPE_CHECKING:
    from services.gateway.core.trajectory import Stay
    from services.gateway.store.people_tables import SightingRow
    from services.gateway.store.tables import AlertRow, CameraRow, IncidentRow


def blob_url(key: str | None) -> str | None:
    return f"/v1/blobs/{key}" if key else None


def moment(us: int | None) -> datetime | None:
    return None if us is None else from_us(us)


class CameraResource(Camera):
    """A registered camera. version: send it as `If-Match` to change only what you have read."""

    version: int
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: CameraRow) -> Self:
        return cls(
            **camera_of(row).model_dump(),
            version=row.version,
            created_at=from_us(row.created_us),
            updated_at=from_us(row.updated_us),
        )


class Region(BaseModel):
    """What the error map holds for abnormal: pixels of the frame as it was pushed."""

    x: float
    y: float
    width: float
    height: float


class EvidenceFrame(BaseModel):
    """A frame of an alert, and what its score is made of.

    error: the model's raw figure. usual, rare: the camera's error levels at that time, of its usual
    frame and of one in a thousand; score = (error - usual) / (rare - usual). parts: what the error
    is made of, by name, for models that tell. image: None where its bytes had expired.
    """

    captured_at: datetime
    image: str | None
    error: float | None = None
    usual: float | None = None
    rare: float | None = None
    score: float | None = None
    parts: dict[str, float] = {}


class NearestNormal(BaseModel):
    """The camera's quiet frame that is most like the alert's worst one, or the last of a view that
    was tampered with. difference: mean absolute difference of their gray pixels, 0 to 1, outside of
    the abnormal regions."""

    captured_at: datetime
    image: str | None
    difference: float


class Evidence(BaseModel):
    """Pictures of an alert. state: pending (being saved), saved, lost (the bytes had expired).

    worst_at: capture time of the worst frame of the clip that opened the alert. heat_map, regions,
    reconstruction (how the model drew it) and nearest_normal are of that frame; the alert may have
    peaked later. Of a camera that was tampered with there is nearest_normal alone, its usual view.
    """

    state: Literal["pending", "saved", "lost", "none"]
    frames: list[EvidenceFrame] = []
    worst_at: datetime | None = None
    heat_map: str | None = None
    regions: list[Region] = []
    reconstruction: str | None = None
    nearest_normal: NearestNormal | None = None


class Alert(BaseModel):
    """An alert. start, peak and end are the camera's time, opened and closed the server's.

    score: of an anomaly, 1 is what a normal frame exceeds once in a thousand times; of a camera
    that was tampered with, 1 is the kind's threshold. learning: raised from the model card's prior,
    before the camera's own quantiles stood. regions: of the frame at peak_time, or of the last
    before it that had any; those of the evidence's pictures stand in `evidence`.
    """

    id: str
    camera_id: str
    kind: AlertKind
    severity: Severity
    state: Literal["open", "closed"]
    start_time: datetime
    peak_time: datetime
    end_time: datetime | None
    opened_at: datetime
    closed_at: datetime | None
    peak_score: float
    learning: bool
    model: str | None
    regions: list[Region]
    evidence: Evidence
    incident_id: str

    @classmethod
    def of(cls, row: AlertRow) -> Self:
        return cls.model_validate(
            {
                "id": row.id,
                "camera_id": row.camera_id,
                "kind": row.kind,
                "severity": row.severity,
                "state": row.state,
                "start_time": from_us(row.start_us),
                "peak_time": from_us(row.peak_us),
                "end_time": moment(row.end_us),
                "opened_at": from_us(row.opened_us),
                "closed_at": moment(row.closed_us),
                "peak_score": round(row.peak_score, 4),
                "learning": row.learning,
                "model": row.model,
                "regions": row.regions,
                "evidence": _evidence(row),
                "incident_id": row.incident_id,
            }
        )


def _evidence(row: AlertRow) -> dict[str, Any]:
    if row.evidence_pending:
        return {"state": "pending"}
    saved = row.evidence
    return {
        "state": saved.get("state", "none"),
        "worst_at": moment(saved.get("worst_us")),
        "heat_map": blob_url(saved.get("heat_map")),
        "regions": saved.get("regions", []),
        "reconstruction": blob_url(saved.get("reconstruction")),
        "nearest_normal": _picture(saved["normal"]) if saved.get("normal") else None,
        "frames": [
            _picture(frame) | (frame.get("reading") or {}) for frame in saved.get("frames", ())
        ],
    }


def _picture(kept: dict[str, Any]) -> dict[str, Any]:
    more = {"difference": kept["difference"]} if "difference" in kept else {}
    return {
        "captured_at": from_us(kept["captured_us"]),
        "image": blob_url(kept.get("blob")),
        **more,
    }


class PersonAtIncident(BaseModel):
    person_id: str
    cameras: list[str]
    confidence: float
    crop: str | None


class Incident(BaseModel):
    """Alerts of one place and moment. `GET /v1/incidents/{id}` adds its alerts and its people."""

    id: str
    place: str
    state: Literal["open", "closed"]
    severity: Severity
    start_time: datetime
    end_time: datetime
    opened_at: datetime

    @classmethod
    def of(cls, row: IncidentRow) -> Self:
        return cls.model_validate(
            {
                "id": row.id,
                "place": row.place,
                "state": row.state,
                "severity": row.severity,
                "start_time": from_us(row.start_us),
                "end_time": from_us(row.end_us),
                "opened_at": from_us(row.opened_us),
            }
        )


class IncidentDetail(Incident):
    alerts: list[Alert]
    persons: list[PersonAtIncident]


class SeenBox(BaseModel):
    captured_at: datetime
    x: float
    y: float
    width: float
    height: float


class SightingResource(BaseModel):
    """A person at a camera. confidence: the gallery's belief that it is this person; 1 where a user
    said so (`confirmed`)."""

    id: str
    person_id: str
    camera_id: str
    start_time: datetime
    end_time: datetime
    confidence: float
    quality: float
    confirmed: bool
    crop: str | None
    boxes: list[SeenBox]

    @classmethod
    def of(cls, row: SightingRow) -> Self:
        return cls(
            id=row.id,
            person_id=row.person_id,
            camera_id=row.camera_id,
            start_time=from_us(row.start_us),
            end_time=from_us(row.end_us),
            confidence=round(row.confidence, 4),
            quality=round(row.quality, 4),
            confirmed=row.confirmed,
            crop=blob_url(row.crop),
            boxes=[
                SeenBox(captured_at=from_us(int(t)), x=x, y=y, width=w, height=h)
                for t, x, y, w, h in row.boxes
            ],
        )


class StayResource(BaseModel):
    """A person at one camera without a longer pause."""

    camera_id: str
    camera_name: str
    location: Location | None
    start_time: datetime
    end_time: datetime
    confidence: float
    sightings: int
    crop: str | None

    @classmethod
    def of(cls, stay: Stay, camera: Camera | None) -> Self:
        return cls(
            camera_id=stay.camera_id,
            camera_name=camera.name if camera else stay.camera_id,
            location=camera.location if camera else None,
            start_time=from_us(stay.start_us),
            end_time=from_us(stay.end_us),
            confidence=round(stay.confidence, 4),
            sightings=stay.sightings,
            crop=blob_url(stay.crop),
        )


class Trajectory(BaseModel):
    """Where a person was, stay by stay: a hypothesis, as good as its confidences. merged_into: who
    the person turned out to be (null: themselves); the stays are that one's."""

    person_id: str
    merged_into: str | None
    start_time: datetime | None
    end_time: datetime | None
    cameras: list[str]
    stays: list[StayResource]
