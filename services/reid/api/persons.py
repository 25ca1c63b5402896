"""/v1/persons, /v1/person-changes: a user's word on who is who, its history, and the way back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Security

from services.reid.api.dependencies import cameras_of
from services.reid.gallery import changes
from services.reid.gallery.forgetting import Forgetting
from services.reid.gallery.regrouping import Deed, Regrouping
from services.reid.gallery.tables import PersonChangeRow
from shared.auth import Principal, Scope, authenticate
from shared.database import Database
from shared.paging import Page
from shared.person_changes import (
    ConfirmAsked,
    MergeAsked,
    MovedSighting,
    PersonChange,
    PersonErased,
    PersonHistory,
    SplitAsked,
    Why,
)

router = APIRouter(prefix="/v1", tags=["persons"])


@dataclass(frozen=True)
class Persons:
    """What these routes rest on."""

    database: Database
    regrouping: Regrouping
    forgetting: Forgetting

    async def described(self, row: PersonChangeRow) -> PersonChange:
        async with self.database.reading() as session:
            return await changes.described(session, row)


def _persons(request: Request) -> Persons:
    persons: Persons = request.app.state.persons
    return persons


PersonsDep = Annotated[Persons, Depends(_persons)]
Reads = Annotated[Principal, Security(authenticate, scopes=[Scope.PERSONS_READ])]
Writes = Annotated[Principal, Security(authenticate, scopes=[Scope.PERSONS_WRITE])]
Erases = Annotated[Principal, Security(authenticate, scopes=[Scope.PERSONS_ERASE])]
CameraIds = Annotated[list[str] | None, Query(description="Only what these cameras have seen")]
Limit = Annotated[int, Query(ge=1, le=1000)]


@dataclass(frozen=True)
class Teller:
    """Who says who is who: the key, or whom a gateway asks for."""

    principal: Writes
    camera_ids: CameraIds = None
    actor: Annotated[str | None, Query(max_length=32, description="By default the key")] = None
    version: Annotated[int | None, Query(description="Of the person, as last read")] = None
    idempotency_key: Annotated[str | None, Header(max_length=128)] = None

    def deed(self, why: Why) -> Deed:
        return Deed(
            actor=self.actor or self.principal.key_id,
            purpose=why.purpose,
            cameras=cameras_of(self.principal, self.camera_ids),
            key=self.idempotency_key,
            version=self.version,
        )


TellerDep = Annotated[Teller, Depends()]


@router.post("/persons/{person_id}/merge", status_code=201)
async def merge_persons(
    teller: TellerDep, persons: PersonsDep, person_id: str, asked: MergeAsked
) -> PersonChange:
    """The named persons are this one: their sightings are this person's from now on."""
    others = frozenset(asked.person_ids)
    row = await persons.regrouping.merge(person_id, others, teller.deed(asked))
    return await persons.described(row)


@router.post("/persons/{person_id}/split", status_code=201)
async def split_person(
    teller: TellerDep, persons: PersonsDep, person_id: str, asked: SplitAsked
) -> PersonChange:
    """The named sightings of this person are of somebody else, known or new."""
    names, into = frozenset(asked.sighting_ids), asked.into_person_id
    row = await persons.regrouping.split(person_id, names, into, teller.deed(asked))
    return await persons.described(row)


@router.post("/persons/{person_id}/confirm", status_code=201)
async def confirm_sightings(
    teller: TellerDep, persons: PersonsDep, person_id: str, asked: ConfirmAsked
) -> PersonChange:
    """The named sightings surely show this person."""
    names = frozenset(asked.sighting_ids)
    row = await persons.regrouping.confirm(person_id, names, teller.deed(asked))
    return await persons.described(row)


@router.get("/persons/{person_id}/history")
async def list_history(
    principal: Reads,
    persons: PersonsDep,
    person_id: str,
    camera_ids: CameraIds = None,
    limit: Limit = 100,
    cursor: str | None = None,
) -> PersonHistory:
    """What users have said about the person, the newest first."""
    cameras = cameras_of(principal, camera_ids)
    async with persons.database.reading() as session:
        found = await changes.page(session, person_id, limit + 1, cursor, cameras)
        version = await changes.version_of(session, person_id)
    page = Page.of(found, limit, key=lambda change: change.id)
    return PersonHistory(items=page.items, next_cursor=page.next_cursor, version=version)


@router.delete("/persons/{person_id}")
async def forget_person(
    principal: Erases, persons: PersonsDep, person_id: str, camera_ids: CameraIds = None
) -> PersonErased:
    """Forgets everything about a person. 403 where a camera has seen them that is not named."""
    cameras = cameras_of(principal, camera_ids)
    count = await persons.forgetting.forget_person(person_id, cameras)
    return PersonErased(person_id=person_id, sightings=count)


@router.get("/person-changes/{change_id}")
async def get_change(
    principal: Reads, persons: PersonsDep, change_id: str, camera_ids: CameraIds = None
) -> PersonChange:
    async with persons.database.reading() as session:
        row = await changes.find(session, change_id, cameras_of(principal, camera_ids))
        return await changes.described(session, row)


@router.get("/person-changes/{change_id}/sightings")
async def list_moved(
    principal: Reads,
    persons: PersonsDep,
    change_id: str,
    camera_ids: CameraIds = None,
    limit: Limit = 100,
    cursor: str | None = None,
) -> Page[MovedSighting]:
    """Which sightings a change concerns, by their ids. Forgotten ones are not listed."""
    cameras = cameras_of(principal, camera_ids)
    async with persons.database.reading() as session:
        found = await changes.moved(session, change_id, limit + 1, cursor, cameras)
    return Page.of(found, limit, key=lambda moved: moved.sighting_id)


@router.post("/person-changes/{change_id}/undo")
async def undo_change(
    teller: TellerDep, persons: PersonsDep, change_id: str, asked: Why
) -> PersonChange:
    """Takes a change back. Doing so twice changes nothing; 409 where a later change rests on it."""
    row = await persons.regrouping.undo(change_id, teller.deed(asked))
    return await persons.described(row)
