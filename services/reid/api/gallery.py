"""/v1/gallery: search by image, and what the gallery holds."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import datetime
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Query, Request, Security
from pydantic import BaseModel

from services.reid.api.dependencies import TimeUs, cameras_of, image_of, judged, loaded_of
from services.reid.core.identity import Belief
from services.reid.gallery.belief import belief_of
from services.reid.gallery.gallery import Filter, Hit, Mode
from shared.auth import Principal, Scope, authenticate
from shared.clock import from_us
from shared.errors import Malformed
from shared.mark import refuse_marked
from shared.person_changes import Purpose

log = structlog.get_logger(__name__)

router = APIRouter(prefix="/v1", tags=["re-ID"])

NEIGHBOURS_PER_PERSON = 16
"""Tracklets asked for per person wanted: a person has many."""

IMAGE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            kind: {"schema": {"type": "string", "format": "binary"}}
            for kind in ("image/jpeg", "image/png")
        },
    }
}


class FoundTracklet(BaseModel):
    camera_id: str
    start_time: datetime
    end_time: datetime
    crop: str | None


class PersonHit(BaseModel):
    """confidence: the belief that the image shows this person. sighting: the most alike one."""

    person_id: str
    similarity: float
    confidence: float
    sighting: FoundTracklet


class GalleryAnswer(BaseModel):
    """mode: how was searched; `exact` wherever that is as quick as what was asked for. recall: the
    share of the ten nearest that this mode finds, measured on this very gallery by leaving
    tracklets out; null before it was measured."""

    persons: list[PersonHit]
    mode: Mode
    recall: float | None
    model: str
    searched: int


class GalleryStats(BaseModel):
    """recall: of each mode, as measured last."""

    model: str
    tracklets: int
    persons: int
    loaded_from: str
    recall: dict[Mode, float]


@router.post("/gallery/search", openapi_extra=IMAGE_BODY)
async def search_gallery(
    request: Request,
    principal: Annotated[Principal, Security(authenticate, scopes=[Scope.PERSONS_SEARCH])],
    purpose: Annotated[Purpose, Query(description="Why you search")],
    actor: Annotated[str | None, Query(max_length=32, description="By default the key")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
    camera_ids: Annotated[list[str] | None, Query()] = None,
    start_us: TimeUs = None,
    end_us: TimeUs = None,
    mode: Annotated[Mode, Query(description="exact, or quicker and less complete")] = Mode.EXACT,
) -> GalleryAnswer:
    """People who look like the one in the image, the most alike first. 422 (`synthetic_image`) for
    an image that is marked as made: what it shows was seen by no camera; 422 (`empty_span`) where
    the time ends before it starts.

    A search at the gateway is audited there, with its image; every one is told in this log.
    """
    if start_us is not None and end_us is not None and start_us > end_us:
        raise Malformed("start_us is after end_us", code="empty_span")
    cameras = cameras_of(principal, camera_ids)
    body = await image_of(request)
    crop = await asyncio.to_thread(judged, request, body)
    refuse_marked(body)
    key = principal.key_id
    _tell(body, purpose, key=key, actor=actor or key, cameras=cameras and sorted(cameras))
    loaded = await loaded_of(request, None)
    (vector,) = await request.app.state.embed(loaded, [crop])
    space = await request.app.state.spaces.of(loaded.context.model_digest)
    only = Filter(cameras, start_us, end_us)
    answer = await space.search(vector, limit * NEIGHBOURS_PER_PERSON, only, mode)
    best = _best_of_each(answer.hits)[:limit]
    crops = await space.crops([hit.id for hit in best])
    return GalleryAnswer(
        persons=_persons(best, crops, belief_of(loaded.model.card)),
        mode=answer.mode,
        recall=answer.recall,
        model=loaded.context.model,
        searched=await space.gallery.count(),
    )


@router.get("/gallery/stats", dependencies=[Security(authenticate, scopes=[Scope.PERSONS_READ])])
async def get_stats(request: Request) -> GalleryStats:
    """How much the gallery holds, and where this process has it from."""
    loaded = await loaded_of(request, None)
    space = await request.app.state.spaces.of(loaded.context.model_digest)
    return GalleryStats(
        model=loaded.context.model,
        tracklets=await space.gallery.count(),
        persons=await space.gallery.persons(),
        loaded_from=space.gallery.source,
        recall=space.recall,
    )


def _tell(image: bytes, purpose: str, **who_and_where: object) -> None:
    """What a search must be answered for."""
    digest = hashlib.sha256(image).hexdigest()
    log.info("gallery_searched", purpose=purpose, image_sha256=digest, **who_and_where)


def _best_of_each(hits: list[Hit]) -> list[Hit]:
    """The most alike tracklet of each person."""
    best: dict[str, Hit] = {}
    for hit in hits:
        best.setdefault(hit.person_id, hit)
    return list(best.values())


def _persons(hits: list[Hit], crops: dict[int, str], belief: Belief) -> list[PersonHit]:
    return [
        PersonHit(
            person_id=hit.person_id,
            similarity=round(hit.similarity, 4),
            confidence=round(belief(hit.similarity), 4),
            sighting=FoundTracklet(
                camera_id=hit.camera_id,
                start_time=from_us(hit.start_us),
                end_time=from_us(hit.end_us),
                crop=crops[hit.id],
            ),
        )
        for hit in hits
        if hit.id in crops
    ]
