"""The tables of the re-ID service's database. Times are microseconds since 1970, UTC."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, Index, LargeBinary, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.database import INTEGERS, Counter64, new_metadata
from shared.folding import CursorColumns, OutcomeColumns
from shared.leases import LeaseColumns
from shared.outbox import OriginColumns, OutboxColumns

CameraKey = String(64)


class Base(DeclarativeBase):
    metadata = new_metadata()
    type_annotation_map = INTEGERS


class How(StrEnum):
    """How a tracklet came to its person: it continues a track that has one, it was recognised by
    its looks, or nobody knew it; or why it has none: its track has not shown enough yet, or ended
    before it did."""

    CONTINUED = "continued"
    ALIKE = "alike"
    NEW = "new"
    WAITING = "waiting"
    NOBODY = "nobody"


class TrackletRow(Base):
    """A tracklet, its vector, and the person that the gallery takes it for.

    vector: float16, unit length. boxes: [time, x, y, width, height] each, in the order of time.
    person_id: NULL while its track has no person. how: it came to its person, or did not.
    revision: grows with every change; what follows the table reads what is above its last one.
    """

    __tablename__ = "tracklets"

    id: Mapped[int] = mapped_column(Counter64, primary_key=True, autoincrement=True)
    name: Mapped[str] = mapped_column(String(128), unique=True)
    camera_id: Mapped[str] = mapped_column(CameraKey)
    track_id: Mapped[str] = mapped_column(String(26))
    start_us: Mapped[int]
    end_us: Mapped[int]
    boxes: Mapped[list[Any]] = mapped_column(JSON)
    vector: Mapped[bytes] = mapped_column(LargeBinary)
    model_digest: Mapped[str] = mapped_column(String(64))
    quality: Mapped[float]
    crop: Mapped[str] = mapped_column(String(256))
    person_id: Mapped[str | None] = mapped_column(String(26), index=True)
    confidence: Mapped[float]
    how: Mapped[str] = mapped_column(String(16))
    revision: Mapped[int] = mapped_column(index=True)

    __table_args__ = (
        Index("ix_tracklets_camera_end", "camera_id", "end_us"),
        Index("ix_tracklets_camera_how", "camera_id", "how"),
    )


class TrackletVectorRow(Base):
    """A tracklet's vector in another space than the one it came with; float16, unit length."""

    __tablename__ = "tracklet_vectors"

    tracklet_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    model_digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    vector: Mapped[bytes] = mapped_column(LargeBinary)


class ForgottenRow(Base):
    """The tombstone of a tracklet, by the revision of its deletion: SQLite may give an id again.

    crop: its picture, until that is gone too.
    """

    __tablename__ = "forgotten"

    revision: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    tracklet_id: Mapped[int]
    crop: Mapped[str | None] = mapped_column(String(256))


class ReindexRow(Base):
    """The filling of a model's space with the tracklets of other models.

    revision: changes of the tables are embedded up to here. embedded: tracklets so far. fault: why
    the space may not be switched to. switches: whether the model is to serve all cameras once the
    space is verified.
    """

    __tablename__ = "reindexes"

    model: Mapped[str] = mapped_column(String(128), primary_key=True)
    model_digest: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    revision: Mapped[int]
    embedded: Mapped[int]
    switches: Mapped[bool]
    fault: Mapped[str | None] = mapped_column(String(256))


class TrackletCursorRow(CursorColumns, Base):
    __tablename__ = "tracklet_cursors"


class TrackletOutcomeRow(OutcomeColumns, Base):
    __tablename__ = "tracklet_outcomes"


class OutboxRow(OutboxColumns, Base):
    pass


class OriginRow(OriginColumns, Base):
    pass


class LeaseRow(LeaseColumns, Base):
    pass
