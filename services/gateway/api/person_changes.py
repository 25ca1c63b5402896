"""/v1/persons, /v1/person-changes: who is who, as users say it; the history, and the way back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Response
from pydantic import BaseModel

from services.gateway.api.dependencies import (
    CityDep,
    Cursor,
    ErasesPersons,
    Limit,
    ReadsPersons,
    WritesPersons,
    cameras_of,
    version_in,
)
from services.gateway.store import audit, persons, sightings
from services.gateway.store.resources import blob_url
from shared.clock import from_us
from shared.paging import Page
from shared.person_changes import (
    ConfirmAsked,
    MergeAsked,
    MovedSighting,
    PersonChange,
    PersonErased,
    PersonHistory,
    Purpose,
    SplitAsked,
    Why,
)

router = APIRouter(prefix="/v1", tags=["persons"])

Id = Annotated[str, Path(pattern=r"^[0-9A-Za-z]{1,26}$")]
"""It becomes part of an address at the re-ID service."""


class PersonResource(BaseModel):
    """A person, as far as the key may see. merged_into: who they turned out to be (null:
    themselves); everything else is that one's. confirmed: sightings that a user is sure of."""

    person_id: str
    merged_into: str | None
    sightings: int
    confirmed: int
    cameras: list[str]
    first_seen_at: datetime
    last_seen_at: datetime
    crop: str | None


class Erased(PersonErased):
    """audit_id: under which it was recorded who did so, and why."""

    audit_id: str


@dataclass(frozen=True)
class Telling:
    """A user who says who is who. Their word is recorded before it is acted on."""

    principal: WritesPersons
    city: CityDep
    if_match: Annotated[str | None, Header(description="The version of the history")] = None
    idempotency_key: Annotated[str | None, Header(max_length=128)] = None

    async def tell(self, path: str, action: str, asked: Why) -> PersonChange:
        query: dict[str, Any] = {
            "actor": self.principal.key_id,
            "camera_ids": cameras_of(self.principal),
            "version": version_in(self.if_match),
        }
        await audit.record(
            self.city.database,
            actor=self.principal.key_id,
            action=action,
            purpose=asked.purpose,
            image=None,
            details={"path": path, **asked.model_dump(mode="json", exclude={"purpose"})},
        )
        return await self.city.reid.change(path, asked, query, self.idempotency_key)


TellingDep = Annotated[Telling, Depends()]


@router.get("/persons/{person_id}")
async def get_person(principal: ReadsPersons, city: CityDep, person_id: Id) -> PersonResource:
    """A person, by whichever id they had."""
    async with city.database.reading() as session:
        survivor = await persons.survivor(session, person_id)
        await sightings.check_known(session, survivor, principal.cameras)
        found = await sightings.totals(session, survivor, principal.cameras)
    return PersonResource(
        person_id=person_id,
        merged_into=None if survivor == person_id else survivor,
        sightings=found["sightings"],
        confirmed=found["confirmed"],
        cameras=found["cameras"],
        first_seen_at=from_us(found["start_us"]),
        last_seen_at=from_us(found["end_us"]),
        crop=blob_url(found["crop"]),
    )


@router.post("/persons/{person_id}/merge", status_code=201)
async def merge_persons(telling: TellingDep, person_id: Id, asked: MergeAsked) -> PersonChange:
    """The named persons are this one: all their sightings are this person's from now on, and their
    ids lead here. 409: one of them was merged into somebody already."""
    return await telling.tell(f"/v1/persons/{person_id}/merge", "persons.merge", asked)


@router.post("/persons/{person_id}/split", status_code=201)
async def split_person(telling: TellingDep, person_id: Id, asked: SplitAsked) -> PersonChange:
    """The named sightings are of somebody else, known or new. 409: nobody would be left."""
    return await telling.tell(f"/v1/persons/{person_id}/split", "persons.split", asked)


@router.post("/persons/{person_id}/confirm", status_code=201)
async def confirm_sightings(
    telling: TellingDep, person_id: Id, asked: ConfirmAsked
) -> PersonChange:
    """The named sightings surely show this person."""
    return await telling.tell(f"/v1/persons/{person_id}/confirm", "persons.confirm", asked)


@router.get("/persons/{person_id}/history")
async def list_history(
    principal: ReadsPersons,
    city: CityDep,
    response: Response,
    person_id: Id,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> PersonHistory:
    """What users have said about the person, the newest first; what was undone stays listed."""
    query = {"limit": limit, "cursor": cursor, "camera_ids": cameras_of(principal)}
    history = await city.reid.read(f"/v1/persons/{person_id}/history", query, PersonHistory)
    response.headers["ETag"] = f'"{history.version}"'
    return history


@router.delete("/persons/{person_id}")
async def erase_person(
    principal: ErasesPersons,
    city: CityDep,
    person_id: Id,
    purpose: Annotated[Purpose, Query(description="Why they are to be forgotten")],
) -> Erased:
    """Forgets a person: vectors, crops, times, places. Whoever looks like them is somebody new. 403
    where a camera has seen them that the key is not for. What users said of them stays recorded."""
    audit_id = await audit.record(
        city.database,
        actor=principal.key_id,
        action="persons.erase",
        purpose=purpose,
        image=None,
        details={"person_id": person_id},
    )
    erased = await city.reid.forget(person_id, cameras_of(principal))
    return Erased(**erased.model_dump(), audit_id=audit_id)


@router.get("/person-changes/{change_id}")
async def get_change(principal: ReadsPersons, city: CityDep, change_id: Id) -> PersonChange:
    query = {"camera_ids": cameras_of(principal)}
    return await city.reid.read(f"/v1/person-changes/{change_id}", query, PersonChange)


@router.get("/person-changes/{change_id}/sightings")
async def list_moved(
    principal: ReadsPersons,
    city: CityDep,
    change_id: Id,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[MovedSighting]:
    """Which sightings a change moved from whom to whom. Forgotten ones are not listed."""
    query = {"limit": limit, "cursor": cursor, "camera_ids": cameras_of(principal)}
    path = f"/v1/person-changes/{change_id}/sightings"
    return await city.reid.read(path, query, Page[MovedSighting])


@router.post("/person-changes/{change_id}/undo")
async def undo_change(telling: TellingDep, change_id: Id, asked: Why) -> PersonChange:
    """Takes a change back: what it moved goes back, as far as it was not forgotten since. Doing so
    twice changes nothing; 409 where a later change rests on it: undo that first."""
    return await telling.tell(f"/v1/person-changes/{change_id}/undo", "persons.undo", asked)
