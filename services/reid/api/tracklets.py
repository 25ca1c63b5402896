"""/v1/gallery/tracklets: what is known of people, forgotten."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Security
from pydantic import BaseModel

from services.reid.api.dependencies import TimeUs, cameras_of
from services.reid.gallery.forgetting import Erasure
from shared.auth import Principal, Scope, authenticate
from shared.errors import Denied

router = APIRouter(prefix="/v1", tags=["re-ID"])


class Forgotten(BaseModel):
    """tracklets: that no search finds from now on. Their crops are deleted within seconds."""

    tracklets: int


@router.delete("/gallery/tracklets")
async def forget_tracklets(
    request: Request,
    principal: Annotated[Principal, Security(authenticate, scopes=[Scope.ADMIN])],
    person_id: str | None = None,
    camera_ids: Annotated[list[str] | None, Query()] = None,
    before_us: TimeUs = None,
) -> Forgotten:
    """Forgets tracklets to which all conditions apply: vectors, places, times and crops. before_us:
    what had ended by then. 400 for no condition, 403 (`camera_denied`) where a key that is for some
    cameras does not name which."""
    if principal.cameras is not None and not camera_ids:
        raise Denied("this key is for some cameras only: name them", code="camera_denied")
    cameras = cameras_of(principal, camera_ids)
    what = Erasure(person_id, frozenset(cameras) if cameras else None, before_us)
    return Forgotten(tracklets=await request.app.state.forgetting.forget(what))
