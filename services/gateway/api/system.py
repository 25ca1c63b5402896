"""/v1/system, /v1/dead-letters, /v1/blobs, /v1/models: what operators look at and set right."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel

from services.gateway.api.dependencies import Admin, CityDep, ReadsCameras, ReadsPersons
from services.gateway.city import City
from services.gateway.letters import DeadLetters
from services.gateway.store import accounts
from services.gateway.store.status import FrameAccount, account_of
from shared.auth import Principal
from shared.clock import from_us
from shared.errors import Denied, Missing
from shared.model_store import ActivationMap, ModelCard, ModelStore
from shared.paging import Page
from shared.topics import CLIP_GROUPS, CLIPS, DEAD, EVENTS, SCORES, SIGHTINGS, TRACKLETS

router = APIRouter(prefix="/v1", tags=["system"])

MEDIA_TYPES = {"jpg": "image/jpeg", "jpeg": "image/jpeg", "png": "image/png"}


class Backlog(BaseModel):
    """streams: entries that no reader has settled. open_clips: what a group owes an outcome."""

    streams: dict[str, int]
    open_clips: dict[str, int]


class DeadLetter(BaseModel):
    """A message that failed too often. Its frames are kept, so that it can be replayed."""

    id: str
    stream: str
    group: str
    message_type: str
    entry_id: str
    deliveries: int
    error: str
    died_at: datetime
    frames: int


class Replayed(BaseModel):
    entry_id: str


class Activation(BaseModel):
    """camera_id `*`: every camera that has no model of its own."""

    service: Literal["anomaly", "reid"]
    model: str
    camera_id: str = ActivationMap.EVERY_CAMERA


@router.get("/system/accounts")
async def get_accounts(principal: ReadsCameras, city: CityDep) -> FrameAccount:
    """The account of every frame, summed over the cameras that the key may see."""
    cameras = [c for c in await city.registry.all() if principal.sees(c)]
    found = [
        await account_of(city.database, city.bus, city.windows.keys(camera)) for camera in cameras
    ]
    return FrameAccount.of(accounts.total(found))


@router.get("/system/backlog")
async def get_backlog(_: ReadsCameras, city: CityDep) -> Backlog:
    """How much waits, and where."""
    topics = (CLIPS, SCORES, TRACKLETS, SIGHTINGS, EVENTS, DEAD)
    return Backlog(
        streams={topic.name: await city.bus.backlog(topic) for topic in topics},
        open_clips={group.value: await city.bus.open_clips(group) for group in CLIP_GROUPS},
    )


@router.get("/dead-letters")
async def list_letters(
    _: Admin,
    city: CityDep,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: str | None = None,
) -> Page[DeadLetter]:
    """What failed too often, the newest first, with the last error."""
    found = await DeadLetters(city.bus, city.blobs).newest(limit + 1, cursor)
    letters = [
        DeadLetter(
            id=letter_id,
            died_at=from_us(letter.died_us),
            frames=len(letter.frames),
            **letter.model_dump(
                include={"stream", "group", "message_type", "entry_id", "deliveries", "error"}
            ),
        )
        for letter_id, letter in found
    ]
    return Page.of(letters, limit, key=lambda letter: letter.id)


@router.post("/dead-letters/{letter_id}/replay", status_code=202)
async def replay_letter(_: Admin, city: CityDep, letter_id: str) -> Replayed:
    """Publishes the clip again for the group that failed on it."""
    ttl_ms = round(city.settings.frame_ttl_s * 1000)
    return Replayed(entry_id=await DeadLetters(city.bus, city.blobs).replay(letter_id, ttl_ms))


@router.get("/models")
async def list_models(_: ReadsCameras, city: CityDep) -> list[ModelCard]:
    """The cards of all models in the store."""
    store = ModelStore(*city.settings.model_folders)
    return [store.load(name).card for name in store.names]


@router.get("/models/activations")
async def get_activations(_: ReadsCameras, city: CityDep) -> dict[str, dict[str, str]]:
    """Which model serves which camera, by service; what is absent runs its setting."""
    return {
        service: await ActivationMap(city.bus.redis, service).read()
        for service in ("anomaly", "reid")
    }


@router.post("/models/activations", status_code=202)
async def activate_model(_: Admin, city: CityDep, asked: Activation) -> Activation:
    """Makes a model serve a camera, or all; workers take it up without a restart."""
    card = ModelStore(*city.settings.model_folders).load(asked.model).card
    if card.service != asked.service:
        raise Missing(f"{asked.model} is no model of {asked.service}", code="unknown_model")
    activations = ActivationMap(city.bus.redis, asked.service)
    await activations.activate(city.bus, asked.model, asked.camera_id)
    return asked


@router.get(
    "/blobs/{key:path}",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}, "image/png": {}}}},
)
async def get_blob(principal: ReadsPersons, city: CityDep, key: str) -> Response:
    """A picture that another answer links to."""
    _check_blob(principal, city, key)
    kind = MEDIA_TYPES.get(key.rpartition(".")[2], "application/octet-stream")
    body = await city.blobs.get(key)
    return Response(body, media_type=kind, headers={"Cache-Control": "private, max-age=3600"})


def _check_blob(principal: Principal, city: City, key: str) -> None:
    """Evidence and crops lie below their camera's id; what else is stored is not for looking at.

    Raises Denied.
    """
    noun, _, rest = key.partition("/")
    camera_id = rest.partition("/")[0]
    if noun not in ("evidence", "crops"):
        raise Denied("this is not for looking at", code="blob_denied")
    principal.check_camera(camera_id)
