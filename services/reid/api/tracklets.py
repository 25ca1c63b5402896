"""/v1/gallery/tracklets: what is known of people, forgotten."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Security
from pydantic import BaseModel

from services.reid.gallery.forgetting import Erasure
from shared.auth import Scope, authenticate

router = APIRouter(prefix="/v1", tags=["re-ID"])


class Forgotten(BaseModel):
    """tracklets: that no search finds from now on. Their crops are deleted within seconds."""

    tracklets: int


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
