"""/v1/persons, /v1/sightings: search by image, trajectories. People have ids, and no names."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from starlette.datastructures import UploadFile
from ulid import ULID

from services.gateway.api.dependencies import (
    CityDep,
    Cursor,
    EndTime,
    Limit,
    ReadsPersons,
    SearchesPersons,
    StartTime,
    cameras_of,
    us_of,
)
from services.gateway.core.trajectory import Seen, stays
from services.gateway.store import audit, persons, sightings
from services.gateway.store.resources import (
    SightingResource,
    StayResource,
    Trajectory,
    blob_url,
    moment,
)
from shared.errors import Malformed
from shared.images import inspect
from shared.mark import refuse_marked
from shared.paging import Page

router = APIRouter(prefix="/v1", tags=["persons"])

SEARCH_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["image", "purpose"],
                    "properties": {
                        "image": {"type": "string", "format": "binary"},
                        "purpose": {"type": "string", "description": "Why you search"},
                        "case_id": {"type": "string"},
                    },
                }
            }
        },
    }
}

MAX_PURPOSE = 500


class FoundSighting(BaseModel):
    camera_id: str
    start_time: datetime
    end_time: datetime
    similarity: float
    crop: str | None


class FoundPerson(BaseModel):
    """confidence: the belief that the image shows this person. sighting: the most alike one."""

    person_id: str
    confidence: float
    similarity: float
    sighting: FoundSighting


class SearchResult(BaseModel):
    """People by likeness. mode: how the gallery was searched; `exact` wherever that is as quick as
    what was asked for. recall: the share of the ten nearest that this finds, as measured on this
    gallery (null: not yet)."""

    persons: list[FoundPerson]
    mode: str
    recall: float | None
    model: str
    searched: int
    audit_id: str


@router.post("/persons/search", openapi_extra=SEARCH_BODY)
async def search_persons(
    request: Request,
    principal: SearchesPersons,
    city: CityDep,
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
    camera_ids: Annotated[list[str] | None, Query()] = None,
    start_time: StartTime = None,
    end_time: EndTime = None,
    min_confidence: Annotated[float, Query(ge=0, le=1)] = 0.0,
    mode: Annotated[
        Literal["exact", "balanced", "fast"], Query(description="exact, or quicker and less sure")
    ] = "exact",
) -> SearchResult:
    """Who is this, and where were they? The image is a crop of one person.

    Every search is audited with its image, its purpose and the key that asked. 422
    (`synthetic_image`) for an image that is marked as made.
    """
    image, content_type, purpose, case_id = await _asked(request, city.settings.frame_max_bytes)
    inspect(image, city.settings.image_limits)
    refuse_marked(image)
    for camera_id in camera_ids or ():
        principal.check_camera(camera_id)
    cameras = camera_ids or cameras_of(principal)
    key = f"audit/{ULID()}.{content_type.removeprefix('image/')}"
    await city.blobs.put(key, image)
    audit_id = await audit.record(
        city.database,
        actor=principal.key_id,
        action="persons.search",
        purpose=purpose,
        image=key,
        details={
            "case_id": case_id,
            "image_sha256": hashlib.sha256(image).hexdigest(),
            "camera_ids": cameras,
        },
    )
    answer = await city.reid.search(
        image,
        content_type,
        {
            "purpose": purpose,
            "actor": principal.key_id,
            "limit": limit,
            "camera_ids": cameras,
            "start_us": us_of(start_time),
            "end_us": us_of(end_time),
            "mode": mode,
        },
    )
    found = [_found(hit) for hit in answer["persons"] if hit["confidence"] >= min_confidence]
    return SearchResult(
        persons=found,
        audit_id=audit_id,
        **{name: answer[name] for name in ("mode", "recall", "model", "searched")},
    )


@router.get("/sightings")
async def list_all_sightings(
    principal: ReadsPersons,
    city: CityDep,
    limit: Limit = 100,
    cursor: Cursor = None,
    camera_ids: Annotated[list[str] | None, Query()] = None,
    start_time: StartTime = None,
    end_time: EndTime = None,
    min_confidence: Annotated[float, Query(ge=0, le=1)] = 0.0,
) -> Page[SightingResource]:
    """Everybody who was seen, the newest first."""
    for camera_id in camera_ids or ():
        principal.check_camera(camera_id)
    async with city.database.reading() as session:
        rows = await sightings.page(
            session,
            None,
            limit=limit + 1,
            before=cursor,
            only=camera_ids or principal.cameras,
            start_us=us_of(start_time),
            end_us=us_of(end_time),
            min_confidence=min_confidence,
        )
    return Page.of([SightingResource.of(row) for row in rows], limit, key=sightings.cursor_of)


@router.get("/persons/{person_id}/sightings")
async def list_sightings(
    principal: ReadsPersons,
    city: CityDep,
    person_id: str,
    limit: Limit = 100,
    cursor: Cursor = None,
    start_time: StartTime = None,
    end_time: EndTime = None,
    min_confidence: Annotated[float, Query(ge=0, le=1)] = 0.0,
) -> Page[SightingResource]:
    """Where a person was seen, the newest first; by whichever id they had."""
    async with city.database.reading() as session:
        person_id = await persons.survivor(session, person_id)
        await sightings.check_known(session, person_id, principal.cameras)
        rows = await sightings.page(
            session,
            person_id,
            limit=limit + 1,
            before=cursor,
            only=principal.cameras,
            start_us=us_of(start_time),
            end_us=us_of(end_time),
            min_confidence=min_confidence,
        )
    return Page.of([SightingResource.of(row) for row in rows], limit, key=sightings.cursor_of)


@router.get("/persons/{person_id}/trajectory")
async def get_trajectory(
    principal: ReadsPersons,
    city: CityDep,
    person_id: str,
    start_time: StartTime = None,
    end_time: EndTime = None,
    min_confidence: Annotated[float, Query(ge=0, le=1)] = 0.0,
    format: Literal["json"] = "json",  # noqa: A002 - the parameter's public name
) -> Trajectory:
    """A person's way through the city, stay by stay; by whichever id they had."""
    async with city.database.reading() as session:
        survivor = await persons.survivor(session, person_id)
        await sightings.check_known(session, survivor, principal.cameras)
        rows = await sightings.all_of(
            session,
            survivor,
            only=principal.cameras,
            start_us=us_of(start_time),
            end_us=us_of(end_time),
            min_confidence=min_confidence,
        )
    found = stays(
        Seen(row.camera_id, row.start_us, row.end_us, row.confidence, row.crop) for row in rows
    )
    cameras = await city.registry.all()
    return Trajectory(
        person_id=person_id,
        merged_into=None if survivor == person_id else survivor,
        start_time=moment(min((stay.start_us for stay in found), default=None)),
        end_time=moment(max((stay.end_us for stay in found), default=None)),
        cameras=list(dict.fromkeys(stay.camera_id for stay in found)),
        stays=[StayResource.of(stay, cameras.get(stay.camera_id)) for stay in found],
    )


async def _asked(request: Request, max_bytes: int) -> tuple[bytes, str, str, str | None]:
    async with request.form(max_files=1) as form:
        upload, purpose, case_id = form.get("image"), form.get("purpose"), form.get("case_id")
        body = await upload.read(max_bytes + 1) if isinstance(upload, UploadFile) else b""
    if not isinstance(upload, UploadFile):
        raise Malformed("the form has no file `image`", code="image_missing")
    if not isinstance(purpose, str) or not 3 <= len(purpose.strip()) <= MAX_PURPOSE:
        raise Malformed(
            f"say why you search: `purpose`, 3 to {MAX_PURPOSE} characters", code="purpose_missing"
        )
    kind = "image/png" if body.startswith(b"\x89PNG") else "image/jpeg"
    return body, kind, purpose.strip(), case_id if isinstance(case_id, str) else None


def _found(hit: dict[str, Any]) -> FoundPerson:
    best = hit["sighting"]
    return FoundPerson(
        person_id=hit["person_id"],
        confidence=hit["confidence"],
        similarity=hit["similarity"],
        sighting=FoundSighting(
            camera_id=best["camera_id"],
            start_time=best["start_time"],
            end_time=best["end_time"],
            similarity=hit["similarity"],
            crop=blob_url(best["crop"]),
        ),
    )
