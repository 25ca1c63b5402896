"""/v1/cameras: the registry, each camera's state, newest picture and regularity curve."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from services.gateway.api.dependencies import (
    CityDep,
    Cursor,
    EndTime,
    Limit,
    ReadsCameras,
    StartTime,
    WritesCameras,
    span_us,
    version_in,
)
from services.gateway.core.alarm import OwnRule
from services.gateway.core.camera import AlertBudget, Camera, CameraMode, Location, TimeZone
from services.gateway.store import cameras, idempotency, timeline
from services.gateway.store.cameras import camera_of
from services.gateway.store.resources import CameraResource, moment
from services.gateway.store.status import CameraStatus, status_of
from shared.clock import from_us
from shared.errors import Malformed, Missing
from shared.images import blacken, decode, encode_jpeg
from shared.messages import Polygon
from shared.paging import Page

router = APIRouter(prefix="/v1/cameras", tags=["cameras"])

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


class CameraChange(BaseModel):
    """The fields to change; those that are absent stay."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(max_length=200)] | None = None
    site: Annotated[str, Field(max_length=200)] | None = None
    location: Location | None = None
    mode: CameraMode | None = None
    analysis_fps: Annotated[float, Field(gt=0, le=30)] | None = None
    stride: Annotated[int, Field(ge=1)] | None = None
    masks: tuple[Polygon, ...] | None = None
    unwatched: tuple[Polygon, ...] | None = None
    time_zone: TimeZone | None = None
    alarm_rule: OwnRule | None = None
    alert_budget_per_day: AlertBudget | None = None


class TimelinePoint(BaseModel):
    """regularity: 1 is a usual frame, 0 one that a normal camera shows once in a thousand frames;
    below 0 it is rarer still. score = 1 - regularity; error is the model's raw figure."""

    time: datetime
    regularity: float
    score: float
    error: float


class Timeline(BaseModel):
    """The regularity curve. bucket_s: the length of time that a point stands for (0: one frame);
    a point shows its least regular frame. gaps: spans whose clips were not scored, and why."""

    camera_id: str
    start_time: datetime
    end_time: datetime
    bucket_s: float
    points: list[TimelinePoint]
    unscored: list[dict[str, Any]]
    truncated: bool


@router.post("", status_code=201)
async def create_camera(
    principal: WritesCameras,
    city: CityDep,
    response: Response,
    camera: Camera,
    idempotency_key: Annotated[str | None, Header(max_length=128)] = None,
) -> CameraResource:
    """Registers a camera. 409 where its id is taken."""
    principal.check_camera(camera.id)
    _check_stride(camera, city.settings.clip_length)
    if camera.alarm_rule:
        camera.alarm_rule.check_over(city.settings.alarm)
    digest = hashlib.sha256(camera.model_dump_json().encode()).hexdigest()
    async with city.database.writing() as session:
        known = await idempotency.recall(session, "cameras", idempotency_key, digest)
        if known is None:
            row = await cameras.add(session, camera)
            await idempotency.remember(session, "cameras", idempotency_key, digest, camera.id)
        else:
            row = await cameras.find(session, known)
        resource = CameraResource.of(row)
    await city.registry.refresh()
    response.headers["Location"] = f"/v1/cameras/{camera.id}"
    response.headers["ETag"] = f'"{resource.version}"'
    return resource


@router.get("")
async def list_cameras(
    principal: ReadsCameras, city: CityDep, limit: Limit = 100, cursor: Cursor = None
) -> Page[CameraResource]:
    """All cameras that the key may see, by id."""
    async with city.database.reading() as session:
        rows = await cameras.page(session, limit + 1, cursor, principal.cameras)
    return Page.of([CameraResource.of(row) for row in rows], limit, key=lambda c: c.id)


@router.get("/{camera_id}")
async def get_camera(
    principal: ReadsCameras, city: CityDep, response: Response, camera_id: str
) -> CameraResource:
    principal.check_camera(camera_id)
    async with city.database.reading() as session:
        resource = CameraResource.of(await cameras.find(session, camera_id))
    response.headers["ETag"] = f'"{resource.version}"'
    return resource


@router.patch("/{camera_id}")
async def change_camera(
    principal: WritesCameras,
    city: CityDep,
    response: Response,
    camera_id: str,
    change: CameraChange,
    if_match: Annotated[str | None, Header()] = None,
) -> CameraResource:
    """Changes what is named. With `If-Match`, only if nobody else has changed it meanwhile."""
    principal.check_camera(camera_id)
    async with city.database.writing() as session:
        row = await cameras.find(session, camera_id, lock=True)
        changed = camera_of(row).model_copy(
            update={name: getattr(change, name) for name in change.model_fields_set}
        )
        _check_stride(changed, city.settings.clip_length)
        if changed.alarm_rule:
            changed.alarm_rule.check_over(city.settings.alarm)
        row = await cameras.change(session, changed, version_in(if_match))
        resource = CameraResource.of(row)
    if "masks" in change.model_fields_set:
        await city.quiet.forget(camera_id)  # they may show what is to be hidden from now on
        await city.recorder.forget(camera_id, "the camera's masks have been changed")
    await city.registry.refresh()
    response.headers["ETag"] = f'"{resource.version}"'
    return resource


@router.delete("/{camera_id}", status_code=204)
async def delete_camera(principal: WritesCameras, city: CityDep, camera_id: str) -> None:
    """Forgets a camera, its quiet frames, and what was recorded of it to train on. Its alerts stay;
    what is under way raises none."""
    principal.check_camera(camera_id)
    await city.registry.get(camera_id)
    # Before, so that an outage leaves a camera that can be deleted once more; and after, for what
    # came in between.
    await city.quiet.forget(camera_id)
    await city.recorder.forget(camera_id, "the camera has been deleted")
    async with city.database.writing() as session:
        await cameras.delete(session, camera_id)
    await city.quiet.forget(camera_id)
    await city.recorder.forget(camera_id, "the camera has been deleted")
    await city.registry.refresh()
    await city.windows.forget(camera_id)


@router.get("/{camera_id}/status")
async def get_status(principal: ReadsCameras, city: CityDep, camera_id: str) -> CameraStatus:
    """Whether it is online, how its clock stands, and what became of its frames."""
    principal.check_camera(camera_id)
    camera = await city.registry.get(camera_id)
    return await status_of(city.database, city.bus, city.windows.keys(camera_id), camera)


@router.get(
    "/{camera_id}/snapshot",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}}},
)
async def get_snapshot(principal: ReadsCameras, city: CityDep, camera_id: str) -> Response:
    """The newest frame, its masked regions black."""
    principal.check_camera(camera_id)
    camera = await city.registry.get(camera_id)
    body: Any = await city.bus.frames.get(city.windows.keys(camera_id).snapshot)
    if body is None:
        raise Missing(f"camera {camera_id!r} has sent no frame yet", code="no_snapshot")
    picture = encode_jpeg(blacken(decode(body, "rgb"), camera.masks))
    return Response(picture, media_type="image/jpeg", headers={"Cache-Control": "no-store"})


@router.get("/{camera_id}/timeline")
async def get_timeline(
    principal: ReadsCameras,
    city: CityDep,
    camera_id: str,
    start_time: StartTime = None,
    end_time: EndTime = None,
    bucket: Annotated[
        Literal["frame", "1s", "10s", "1m", "10m", "1h"], Query(description="Span of a point")
    ] = "frame",
    limit: Annotated[int, Query(ge=1, le=20_000)] = 5_000,
) -> Timeline:
    """The regularity curve; by default of the last hour."""
    principal.check_camera(camera_id)
    await city.registry.get(camera_id)
    start_us, end_us = span_us(start_time, end_time, HOUR)
    bucket_s = {"frame": 0.0, "1s": 1, "10s": 10, "1m": 60, "10m": 600, "1h": 3600}[bucket]
    async with city.database.reading() as session:
        curve = await timeline.read(session, camera_id, start_us, end_us, bucket_s, limit)
    return Timeline(
        camera_id=camera_id,
        start_time=from_us(start_us),
        end_time=from_us(end_us),
        bucket_s=bucket_s,
        points=[
            TimelinePoint(
                time=from_us(point.captured_us),
                regularity=round(1 - point.score, 4),
                score=round(point.score, 4),
                error=point.error,
            )
            for point in curve.points
        ],
        unscored=[
            {
                "start_time": moment(gap.start_us),
                "end_time": moment(gap.end_us),
                "outcome": gap.outcome,
                "reason": gap.reason,
            }
            for gap in curve.unscored
        ],
        truncated=curve.truncated,
    )


def _check_stride(camera: Camera, clip_length: int) -> None:
    if camera.stride is not None and camera.stride > clip_length:
        raise Malformed(
            f"stride {camera.stride} is over the clip's length of {clip_length}: frames would be"
            " skipped",
            code="stride_too_long",
        )
