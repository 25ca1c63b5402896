"""What users say about who is who, as the re-ID service and the gateway both speak of it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from shared.paging import Page

Purpose = Annotated[str, StringConstraints(strip_whitespace=True, min_length=3, max_length=500)]
PersonId = Annotated[str, Field(min_length=1, max_length=26)]
SightingIds = Annotated[list[str], Field(min_length=1, max_length=1000)]


class ChangeKind(StrEnum):
    """Persons are one; sightings are of somebody else; sightings are surely of this person."""

    MERGE = "merge"
    SPLIT = "split"
    CONFIRM = "confirm"


class Why(BaseModel):
    """purpose: why it is done; kept with it."""

    model_config = ConfigDict(extra="forbid")

    purpose: Purpose


class MergeAsked(Why):
    """person_ids: who are the person of the path."""

    person_ids: Annotated[list[PersonId], Field(min_length=1, max_length=100)]


class SplitAsked(Why):
    """sighting_ids: those of somebody else. into_person_id: who that is (absent: somebody new)."""

    sighting_ids: SightingIds
    into_person_id: PersonId | None = None


class ConfirmAsked(Why):
    """sighting_ids: those that surely show the person."""

    sighting_ids: SightingIds


class PersonChange(BaseModel):
    """A user's word on who is who. person_id: whose the sightings are by it; from_person_ids: whose
    they were. sightings: how many it concerned."""

    id: str
    kind: ChangeKind
    person_id: str
    from_person_ids: list[str]
    sightings: int
    purpose: str
    actor: str
    at: datetime
    undone_at: datetime | None
    undone_by: str | None
    undone_purpose: str | None


class PersonHistory(Page[PersonChange]):
    """version: of the person; send it as `If-Match` to say something only of what you have read."""

    version: int


class MovedSighting(BaseModel):
    """A sighting of a change, from one person to another. Forgotten ones are not listed."""

    sighting_id: str
    camera_id: str
    from_person_id: str
    to_person_id: str


class PersonErased(BaseModel):
    """sightings: that no list and no search finds from now on. Their crops are deleted within
    seconds."""

    person_id: str
    sightings: int
