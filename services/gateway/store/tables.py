"""The tables of the gateway's database. Times are microseconds since 1970, UTC."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Index, LargeBinary, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.database import INTEGERS, new_metadata
from shared.folding import CursorColumns, OutcomeColumns
from shared.leases import LeaseColumns
from shared.outbox import OriginColumns, OutboxColumns

Ulid = String(26)
CameraKey = String(64)


class Base(DeclarativeBase):
    metadata = new_metadata()
    type_annotation_map = INTEGERS


class CameraRow(Base):
    """A camera. deleted_us: its tombstone, which keeps late outcomes from raising it again."""

    __tablename__ = "cameras"

    id: Mapped[str] = mapped_column(CameraKey, primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    site: Mapped[str] = mapped_column(String(200))
    location: Mapped[dict[str, float] | None] = mapped_column(JSON)
    mode: Mapped[str] = mapped_column(String(16))
    analysis_fps: Mapped[float]
    stride: Mapped[int | None]
    masks: Mapped[list[Any]] = mapped_column(JSON)
    unwatched: Mapped[list[Any]] = mapped_column(JSON)
    time_zone: Mapped[str | None] = mapped_column(String(64))
    alarm_rule: Mapped[dict[str, float] | None] = mapped_column(JSON)
    alert_budget_per_day: Mapped[float | None]
    version: Mapped[int]
    created_us: Mapped[int]
    updated_us: Mapped[int]
    deleted_us: Mapped[int | None]


class WatchRow(Base):
    """What the composer remembers of a camera from clip to clip.

    presence: new, online or offline. alarm: the state of its alarm (services.gateway.core.alarm).
    tampering: that of its alarm for each sign of tampering.
    """

    __tablename__ = "watches"

    camera_id: Mapped[str] = mapped_column(CameraKey, primary_key=True)
    presence: Mapped[str] = mapped_column(String(16), default="new")
    presence_us: Mapped[int | None]
    learning: Mapped[bool] = mapped_column(default=True)
    alarm: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    tampering: Mapped[dict[str, Any] | None] = mapped_column(JSON)


class BaselineRow(Base):
    """Quantile sketch of the errors of one camera in one scoring context.

    scoring and prior: the context in full, and its model card's quantiles (None: the last clip
    came before these were kept). open_score: of the last calibration (None: there was none).
    """

    __tablename__ = "baselines"

    camera_id: Mapped[str] = mapped_column(CameraKey, primary_key=True)
    context: Mapped[str] = mapped_column(String(64), primary_key=True)
    frames: Mapped[int]
    sketch: Mapped[bytes] = mapped_column(LargeBinary)
    scoring: Mapped[dict[str, str] | None] = mapped_column(JSON)
    prior: Mapped[dict[str, float] | None] = mapped_column(JSON)
    open_score: Mapped[float | None]
    updated_us: Mapped[int]


class BaselineHourRow(Base):
    """Quantile sketch of the same errors within one hour of the camera's day, 0 to 23."""

    __tablename__ = "baseline_hours"

    camera_id: Mapped[str] = mapped_column(CameraKey, primary_key=True)
    context: Mapped[str] = mapped_column(String(64), primary_key=True)
    hour: Mapped[int] = mapped_column(primary_key=True)
    frames: Mapped[int]
    sketch: Mapped[bytes] = mapped_column(LargeBinary)


class CalibrationRow(Base):
    """That a baseline was built anew: when, by which key, from what span of the camera's time.

    excluded: spans that were left out, [start_us, end_us]. days: of scored footage. method: how the
    open score was found. before: the baseline that was replaced, packed (None: no longer kept).
    undone_us, undone_by: when and by whom it was rolled back.
    """

    __tablename__ = "calibrations"

    id: Mapped[str] = mapped_column(Ulid, primary_key=True)
    camera_id: Mapped[str] = mapped_column(CameraKey, index=True)
    context: Mapped[str] = mapped_column(String(64))
    at_us: Mapped[int]
    actor: Mapped[str] = mapped_column(String(32))
    start_us: Mapped[int]
    end_us: Mapped[int]
    excluded: Mapped[list[Any]] = mapped_column(JSON)
    frames: Mapped[int]
    days: Mapped[float]
    budget_per_day: Mapped[float]
    open_score: Mapped[float]
    open_score_before: Mapped[float]
    method: Mapped[str] = mapped_column(String(16))
    before: Mapped[bytes | None] = mapped_column(LargeBinary)
    undone_us: Mapped[int | None]
    undone_by: Mapped[str | None] = mapped_column(String(32))


class TrainingRow(Base):
    """That a camera gets weights of its own: first its normal footage is recorded, then a job of
    the anomaly service learns from it.

    state: services.gateway.core.training. fps: of what is recorded. frames, bytes: recorded so far.
    deadline_us: when recording is given up. job_id, progress, note, result: of the job, as last
    heard. stop_reason: why it is to end, where somebody wants that.
    """

    __tablename__ = "trainings"

    id: Mapped[str] = mapped_column(Ulid, primary_key=True)
    camera_id: Mapped[str] = mapped_column(CameraKey, index=True)
    state: Mapped[str] = mapped_column(String(16), index=True)
    actor: Mapped[str] = mapped_column(String(32))
    fps: Mapped[float]
    frames_wanted: Mapped[int]
    frames: Mapped[int] = mapped_column(default=0)
    bytes: Mapped[int] = mapped_column(default=0)
    steps: Mapped[int]
    learning_rate: Mapped[float]
    activate: Mapped[bool]
    created_us: Mapped[int]
    deadline_us: Mapped[int]
    job_id: Mapped[str | None] = mapped_column(Ulid)
    progress: Mapped[float] = mapped_column(default=0.0)
    note: Mapped[str] = mapped_column(String(256), default="")
    stop_reason: Mapped[str | None] = mapped_column(String(256))
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    error: Mapped[str | None] = mapped_column(Text)
    finished_us: Mapped[int | None]


class ScoreCursorRow(CursorColumns, Base):
    __tablename__ = "score_cursors"


class ScoreOutcomeRow(OutcomeColumns, Base):
    """timeline: packed times, errors and scores of the owned frames. context: the scoring context
    of these errors, by its key."""

    __tablename__ = "score_outcomes"

    context: Mapped[str | None] = mapped_column(String(64))
    timeline: Mapped[bytes | None] = mapped_column(LargeBinary)

    __table_args__ = (Index("ix_score_outcomes_camera_end", "camera_id", "end_us"),)


class AccountRow(Base):
    """Owned frames and clips of a camera by group and outcome."""

    __tablename__ = "accounts"

    camera_id: Mapped[str] = mapped_column(CameraKey, primary_key=True)
    born: Mapped[int] = mapped_column(primary_key=True)
    group: Mapped[str] = mapped_column(String(16), primary_key=True)
    outcome: Mapped[str] = mapped_column(String(16), primary_key=True)
    frames: Mapped[int]
    clips: Mapped[int]


class AlertRow(Base):
    """An alert. opened_us and closed_us are the server's time; start, peak and end the camera's.

    evidence: its pictures as blob keys, and what its frames' scores are made of; while
    evidence_pending, the frames are still where they are in Redis.
    """

    __tablename__ = "alerts"

    id: Mapped[str] = mapped_column(Ulid, primary_key=True)
    camera_id: Mapped[str] = mapped_column(CameraKey, index=True)
    kind: Mapped[str] = mapped_column(String(32))
    severity: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16), index=True)
    start_us: Mapped[int] = mapped_column(index=True)
    peak_us: Mapped[int]
    end_us: Mapped[int | None]
    opened_us: Mapped[int]
    closed_us: Mapped[int | None]
    peak_score: Mapped[float]
    learning: Mapped[bool]
    model: Mapped[str | None] = mapped_column(String(64))
    context: Mapped[str | None] = mapped_column(String(64))
    regions: Mapped[list[Any]] = mapped_column(JSON)
    evidence: Mapped[dict[str, Any]] = mapped_column(JSON)
    evidence_pending: Mapped[bool]
    incident_id: Mapped[str] = mapped_column(Ulid, index=True)


class QuietFrameRow(Base):
    """A frame of a camera that showed nothing unusual (services.gateway.core.quiet).

    thumbnail: its gray pixels in small, row by row. blob: the masked picture.
    """

    __tablename__ = "quiet_frames"

    camera_id: Mapped[str] = mapped_column(CameraKey, primary_key=True)
    slot: Mapped[str] = mapped_column(String(16), primary_key=True)
    captured_us: Mapped[int]
    blob: Mapped[str] = mapped_column(String(256))
    thumbnail: Mapped[bytes] = mapped_column(LargeBinary)


class IncidentRow(Base):
    """Alerts of one place and moment."""

    __tablename__ = "incidents"

    id: Mapped[str] = mapped_column(Ulid, primary_key=True)
    place: Mapped[str] = mapped_column(String(200))
    state: Mapped[str] = mapped_column(String(16))
    severity: Mapped[str] = mapped_column(String(16))
    start_us: Mapped[int]
    end_us: Mapped[int]
    opened_us: Mapped[int]

    __table_args__ = (Index("ix_incidents_place_end", "place", "end_us"),)


class ApiKeyRow(Base):
    """A key by its digest. kind: key, session, ticket (spent once for a session) or service."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    name: Mapped[str] = mapped_column(String(200))
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    scopes: Mapped[list[str]] = mapped_column(JSON)
    cameras: Mapped[list[str] | None] = mapped_column(JSON)
    created_us: Mapped[int]
    expires_us: Mapped[int | None]
    revoked_us: Mapped[int | None]


class AuditRow(Base):
    """Who did what that must be answered for."""

    __tablename__ = "audit"

    id: Mapped[str] = mapped_column(Ulid, primary_key=True)
    at_us: Mapped[int]
    actor: Mapped[str] = mapped_column(String(32))
    action: Mapped[str] = mapped_column(String(64))
    purpose: Mapped[str] = mapped_column(String(500))
    image: Mapped[str | None] = mapped_column(String(256))
    details: Mapped[dict[str, Any]] = mapped_column(JSON)


class IdempotencyRow(Base):
    """A create that was answered: the same key with the same content gets the same resource."""

    __tablename__ = "idempotency"

    key: Mapped[str] = mapped_column(String(160), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64))
    resource_id: Mapped[str] = mapped_column(String(64))
    created_us: Mapped[int]


class OutboxRow(OutboxColumns, Base):
    pass


class OriginRow(OriginColumns, Base):
    pass


class LeaseRow(LeaseColumns, Base):
    pass
