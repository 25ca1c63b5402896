"""/v1/gallery/spaces: the gallery in another model's vectors, beside those that serve."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Security
from pydantic import BaseModel

from services.reid.gallery.reindexing import State
from services.reid.gallery.tables import ReindexRow
from shared.auth import Scope, authenticate

router = APIRouter(prefix="/v1", tags=["re-ID"])


class Reindex(BaseModel):
    """embedded: tracklets of other models so far. fault: why the space may not be switched to."""

    model: str
    model_digest: str
    state: State
    embedded: int
    switches: bool
    fault: str | None


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
