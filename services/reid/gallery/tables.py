"""The tables of the re-ID service's database. Times are microseconds since 1970, UTC."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, Index, LargeBinary, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.database import INTEGERS, Counter64, new_metadata
from shared.folding import CursorColumns, OutcomeColumns
from shared.jobs import JobColumns
from shared.leases import LeaseColumns
from shared.outbox import OriginColumns, OutboxColumns

CameraKey = String(64)

NEVER_TAKEN = 0
"""The id of no tracklet."""


class Base(DeclarativeBase):
    metadata = new_metadata()
    type_annotation_map = INTEGERS


class How(StrEnum):
    """How a tracklet came to its person: it continues a track that has one, it was recognised by
    its looks, nobody knew it, or a user said who it is; or why it has none: its track has not shown
    enough yet, or ended before it did."""

    CONTINUED = "continued"
    ALIKE = "alike"
    NEW = "new"
    TOLD = "told"
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

    tracklet_id: NEVER_TAKEN of one that was never in the tables. crop: its picture, until that is
    gone too.
    """

    __tablename__ = "forgotten"

    revision: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    tracklet_id: Mapped[int]
    crop: Mapped[str | None] = mapped_column(String(256))


class PersonChangeRow(Base):
    """That a user said who is who.

    kind: merge, split or confirm. to_person: who the tracklets are from then on. tracklets: how
    many it concerned when it was made. revision: of the gallery, when it was through. key, digest:
    the caller's Idempotency-Key and what came with it.
    """

    __tablename__ = "person_changes"

    id: Mapped[str] = mapped_column(String(26), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    to_person: Mapped[str] = mapped_column(String(26))
    actor: Mapped[str] = mapped_column(String(32))
    purpose: Mapped[str] = mapped_column(String(500))
    at_us: Mapped[int]
    tracklets: Mapped[int]
    revision: Mapped[int]
    undone_us: Mapped[int | None]
    undone_by: Mapped[str | None] = mapped_column(String(32))
    undone_purpose: Mapped[str | None] = mapped_column(String(500))
    key: Mapped[str | None] = mapped_column(String(160), unique=True)
    digest: Mapped[str] = mapped_column(String(64))


class ChangedPersonRow(Base):
    """That a change concerns a person: whose history it stands in. Outlives their tracklets."""

    __tablename__ = "changed_persons"

    person_id: Mapped[str] = mapped_column(String(26), primary_key=True)
    change_id: Mapped[str] = mapped_column(String(26), primary_key=True)


class PersonMoveRow(Base):
    """A tracklet of a change, and how it was before. It is deleted with its tracklet: what was
    forgotten has no history, and SQLite may give the id again."""

    __tablename__ = "person_moves"

    change_id: Mapped[str] = mapped_column(String(26), primary_key=True)
    tracklet_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, index=True)
    from_person: Mapped[str] = mapped_column(String(26))
    confidence: Mapped[float]
    how: Mapped[str] = mapped_column(String(16))


class MergedPersonRow(Base):
    """Who a person was found to be. They may have been merged into somebody else since."""

    __tablename__ = "merged_persons"

    person_id: Mapped[str] = mapped_column(String(26), primary_key=True)
    into_person: Mapped[str] = mapped_column(String(26))
    change_id: Mapped[str] = mapped_column(String(26))


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


class JobRow(JobColumns, Base):
    pass
