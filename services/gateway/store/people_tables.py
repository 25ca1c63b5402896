"""The tables of sightings and persons, as the gallery tells of them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Index, String, false
from sqlalchemy.orm import Mapped, mapped_column

from services.gateway.store.tables import Base, CameraKey, Ulid


class PeopleOutcomeRow(Base):
    """That a clip's people have been taken in; makes the taking idempotent."""

    __tablename__ = "people_outcomes"

    camera_id: Mapped[str] = mapped_column(CameraKey, primary_key=True)
    born: Mapped[int] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    outcome: Mapped[str] = mapped_column(String(16))


class SightingRow(Base):
    """A person at a camera for a tracklet's length. boxes: [time, x, y, width, height] each.

    confirmed: a user said who it is. revision: of the gallery's change that it is known by; 0: as
    it was first told.
    """

    __tablename__ = "sightings"

    id: Mapped[str] = mapped_column(String(128), primary_key=True)
    person_id: Mapped[str] = mapped_column(Ulid)
    camera_id: Mapped[str] = mapped_column(CameraKey)
    start_us: Mapped[int]
    end_us: Mapped[int]
    confidence: Mapped[float]
    quality: Mapped[float]
    crop: Mapped[str] = mapped_column(String(256))
    boxes: Mapped[list[Any]] = mapped_column(JSON)
    confirmed: Mapped[bool] = mapped_column(server_default=false())
    revision: Mapped[int] = mapped_column(server_default="0")

    __table_args__ = (
        Index("ix_sightings_person_start", "person_id", "start_us"),
        Index("ix_sightings_camera_start", "camera_id", "start_us"),
    )


class ForgottenSightingRow(Base):
    """The tombstone of a sighting: whoever tells of it later is not listened to."""

    __tablename__ = "forgotten_sightings"

    id: Mapped[str] = mapped_column(String(128), primary_key=True)
    at_us: Mapped[int]


class MergedPersonRow(Base):
    """Who a person is by now, as the gallery said at a revision of its own. into_person: NULL once
    they are themselves again."""

    __tablename__ = "merged_persons"

    person_id: Mapped[str] = mapped_column(Ulid, primary_key=True)
    into_person: Mapped[str | None] = mapped_column(Ulid)
    revision: Mapped[int]
