"""/v1/embeddings: crops in, vectors out. /v1/gallery: search by image, forget, change models."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Security
from pydantic import BaseModel
from starlette.datastructures import UploadFile

from services.reid.core.identity import Belief
from services.reid.embedder import Embedder
from services.reid.gallery.belief import belief_of
from services.reid.gallery.forgetting import Erasure
from services.reid.gallery.gallery import Filter, Hit, Mode
from services.reid.gallery.reindexing import State
from services.reid.gallery.tables import ReindexRow
from shared.auth import Scope, authenticate
from shared.clock import from_us
from shared.errors import Malformed, TooLarge
from shared.images import Pixels, decode, inspect
from shared.mark import refuse_marked
from shared.rack import Loaded

router = APIRouter(prefix="/v1", tags=["re-ID"])

MAX_CROPS = 64
NEIGHBOURS_PER_PERSON = 16
"""Tracklets asked for per person wanted: a person has many."""

CROPS_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["crops"],
                    "properties": {
                        "crops": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                            "description": "JPEG or PNG of one upright person each",
                        }
                    },
                }
            }
        },
    }
}
IMAGE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            kind: {"schema": {"type": "string", "format": "binary"}}
            for kind in ("image/jpeg", "image/png")
        },
    }
}


class Embeddings(BaseModel):
    """vectors: one of unit length for each crop, in their order; cosine says how alike two are."""

    model: str
    model_digest: str
    provider: str
    precision: str
    dimensions: int
    vectors: list[list[float]]


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


class Forgotten(BaseModel):
    """tracklets: that no search finds from now on. Their crops are deleted within seconds."""

    tracklets: int


class Reindex(BaseModel):
    """embedded: tracklets of other models so far. fault: why the space may not be switched to."""

    model: str
    model_digest: str
    state: State
    embedded: int
    switches: bool
    fault: str | None


@router.post(
    "/embeddings",
    openapi_extra=CROPS_BODY,
    dependencies=[Security(authenticate, scopes=[Scope.MODELS_USE])],
)
async def embed_crops(
    request: Request,
    model: Annotated[str | None, Query(description="By default the active one")] = None,
) -> Embeddings:
    """Embeds crops of people. 413, 415, 422: a crop is no image that can be taken. Crops that are
    marked as made are embedded like others: nothing is kept, and made crops are judged by it."""
    loaded = await _loaded(request, model)
    limit = request.app.state.limits.max_bytes
    async with request.form(max_files=MAX_CROPS) as form:
        uploads = [part for part in form.getlist("crops") if isinstance(part, UploadFile)]
        bodies = [await upload.read(limit + 1) for upload in uploads]
    if not bodies:
        raise Malformed("the form has no files `crops`", code="crops_missing")
    crops = await asyncio.to_thread(lambda: [_judged(request, body) for body in bodies])
    vectors = await request.app.state.embed(loaded, crops)
    context = loaded.context
    return Embeddings(
        model=context.model,
        model_digest=context.model_digest,
        provider=context.provider,
        precision=context.precision,
        dimensions=vectors.shape[1],
        vectors=vectors.tolist(),
    )


@router.post(
    "/gallery/search",
    openapi_extra=IMAGE_BODY,
    dependencies=[Security(authenticate, scopes=[Scope.PERSONS_SEARCH])],
)
async def search_gallery(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
    camera_ids: Annotated[list[str] | None, Query()] = None,
    start_us: int | None = None,
    end_us: int | None = None,
    mode: Annotated[Mode, Query(description="exact, or quicker and less complete")] = Mode.EXACT,
) -> GalleryAnswer:
    """People who look like the one in the image, the most alike first. 422 (`synthetic_image`) for
    an image that is marked as made: what it shows was seen by no camera."""
    body = await _image(request)
    crop = await asyncio.to_thread(_judged, request, body)
    refuse_marked(body)
    loaded = await _loaded(request, None)
    (vector,) = await request.app.state.embed(loaded, [crop])
    space = await request.app.state.spaces.of(loaded.context.model_digest)
    only = Filter(frozenset(camera_ids) if camera_ids else None, start_us, end_us)
    answer = await space.search(vector, limit * NEIGHBOURS_PER_PERSON, only, mode)
    best = _best_of_each(answer.hits)[:limit]
    return GalleryAnswer(
        persons=_persons(
            best, await space.crops([hit.id for hit in best]), belief_of(loaded.model.card)
        ),
        mode=answer.mode,
        recall=answer.recall,
        model=loaded.context.model,
        searched=await space.gallery.count(),
    )


@router.get("/gallery/stats", dependencies=[Security(authenticate, scopes=[Scope.PERSONS_READ])])
async def get_stats(request: Request) -> GalleryStats:
    """How much the gallery holds, and where this process has it from."""
    loaded = await _loaded(request, None)
    space = await request.app.state.spaces.of(loaded.context.model_digest)
    return GalleryStats(
        model=loaded.context.model,
        tracklets=await space.gallery.count(),
        persons=await space.gallery.persons(),
        loaded_from=space.gallery.source,
        recall=space.recall,
    )


@router.delete("/gallery/tracklets", dependencies=[Security(authenticate, scopes=[Scope.ADMIN])])
async def forget_tracklets(
    request: Request,
    person_id: str | None = None,
    camera_ids: Annotated[list[str] | None, Query()] = None,
    before_us: Annotated[int | None, Query(description="What had ended by then")] = None,
) -> Forgotten:
    """Forgets tracklets to which all conditions apply: vectors, places, times and crops. 400 for
    none."""
    what = Erasure(person_id, frozenset(camera_ids) if camera_ids else None, before_us)
    return Forgotten(tracklets=await request.app.state.forgetting.forget(what))


@router.put(
    "/gallery/spaces/{model}",
    status_code=202,
    dependencies=[Security(authenticate, scopes=[Scope.ADMIN])],
)
async def begin_reindex(
    request: Request,
    model: str,
    switch: Annotated[
        bool, Query(description="Serve all cameras with it once its space is verified")
    ] = False,
) -> Reindex:
    """Embeds the crops of all known tracklets by another model, beside the space that is served.
    404: there is no such model."""
    return _reindex(await request.app.state.reindexing.begin(model, switches=switch))


@router.get(
    "/gallery/spaces/{model}", dependencies=[Security(authenticate, scopes=[Scope.PERSONS_READ])]
)
async def get_reindex(request: Request, model: str) -> Reindex:
    """How far it is. 404: it was never asked for."""
    return _reindex(await request.app.state.reindexing.get(model))


def _reindex(row: ReindexRow) -> Reindex:
    return Reindex.model_validate(row, from_attributes=True)


async def _loaded(request: Request, name: str | None) -> Loaded[Embedder]:
    rack = request.app.state.rack
    loaded: Loaded[Embedder] = await (rack.get(name) if name else rack.for_camera("*"))
    return loaded


async def _image(request: Request) -> bytes:
    limit = request.app.state.limits.max_bytes
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise TooLarge(f"the image has over {limit} bytes", code="image_too_large")
    return bytes(body)


def _judged(request: Request, body: bytes) -> Pixels:
    inspect(body, request.app.state.limits)
    return decode(body, "rgb")


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
