"""/v1/embeddings: crops in, vectors out."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Security
from pydantic import BaseModel
from starlette.datastructures import UploadFile

from services.reid.api.dependencies import judged, loaded_of
from shared.auth import Scope, authenticate
from shared.errors import Malformed

router = APIRouter(prefix="/v1", tags=["re-ID"])

MAX_CROPS = 64

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


class Embeddings(BaseModel):
    """vectors: one of unit length for each crop, in their order; cosine says how alike two are."""

    model: str
    model_digest: str
    provider: str
    precision: str
    dimensions: int
    vectors: list[list[float]]


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
    loaded = await loaded_of(request, model)
    limit = request.app.state.limits.max_bytes
    async with request.form(max_files=MAX_CROPS) as form:
        uploads = [part for part in form.getlist("crops") if isinstance(part, UploadFile)]
        bodies = [await upload.read(limit + 1) for upload in uploads]
    if not bodies:
        raise Malformed("the form has no files `crops`", code="crops_missing")
    crops = await asyncio.to_thread(lambda: [judged(request, body) for body in bodies])
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
