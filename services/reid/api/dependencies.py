"""What routes ask for: a loaded model, a picture that can be taken, cameras that the key is for."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated

from fastapi import Query, Request

from services.reid.embedder import Embedder
from shared.auth import Principal
from shared.errors import TooLarge
from shared.images import Pixels, decode, inspect
from shared.rack import Loaded

TimeUs = Annotated[
    int | None, Query(ge=-(2**63), lt=2**63, description="Microseconds since 1970, UTC")
]
"""No database takes a larger number."""


async def loaded_of(request: Request, name: str | None) -> Loaded[Embedder]:
    """A model by its name; the one that serves all cameras for none."""
    rack = request.app.state.rack
    loaded: Loaded[Embedder] = await (rack.get(name) if name else rack.for_camera("*"))
    return loaded


async def image_of(request: Request) -> bytes:
    """A request's body. Raises TooLarge (`image_too_large`)."""
    limit = request.app.state.limits.max_bytes
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise TooLarge(f"the image has over {limit} bytes", code="image_too_large")
    return bytes(body)


def judged(request: Request, body: bytes) -> Pixels:
    """The picture in a body. Raises Malformed, TooLarge or UnsupportedMedia where none is."""
    inspect(body, request.app.state.limits)
    return decode(body, "rgb")


def cameras_of(principal: Principal, camera_ids: list[str] | None) -> Collection[str] | None:
    """The cameras that a request is about; None for all. Raises Denied (`camera_denied`) for one
    that the key is not for."""
    for camera_id in camera_ids or ():
        principal.check_camera(camera_id)
    return camera_ids or principal.cameras
