"""/v1/cameras/{id}/frames: where camera workers push."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.datastructures import FormData, UploadFile

from services.gateway.api.dependencies import CityDep, WritesFrames, us_of
from services.gateway.city import City
from services.gateway.core.camera import Camera
from services.gateway.intake.doorman import Admission, PushedFrame
from shared.clock import from_us, now_us
from shared.errors import (
    CityBrainError,
    Fault,
    Malformed,
    Overloaded,
    TooLarge,
    UnsupportedMedia,
)
from shared.messages import Box

router = APIRouter(prefix="/v1/cameras/{camera_id}/frames", tags=["frames"])

FRAME_BODIES: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "image/jpeg": {"schema": {"type": "string", "format": "binary"}},
            "image/png": {"schema": {"type": "string", "format": "binary"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["frame"],
                    "properties": {
                        "frame": {"type": "string", "format": "binary"},
                        "metadata": {"type": "string", "description": "JSON: FrameMetadata"},
                    },
                }
            },
        },
    }
}
BATCH_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["frames", "metadata"],
                    "properties": {
                        "frames": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                        },
                        "metadata": {
                            "type": "string",
                            "description": "JSON: a list of FrameMetadata, one a frame",
                        },
                    },
                }
            }
        },
    }
}


class FrameMetadata(BaseModel):
    """captured_at: RFC 3339 with a zone, or seconds since 1970 (absent: now). boxes: people, in
    pixels of the frame; an empty list says that nobody is there, absent that nobody looked."""

    captured_at: datetime | None = None
    boxes: list[Box] | None = None


class AcceptedFrame(BaseModel):
    """disposition: `accepted` into the camera's window, or `thinned`, because the camera sends
    more than its analysis_fps. A repeated push is answered as the first one was."""

    frame_id: str
    camera_id: str
    captured_at: datetime
    disposition: str

    @classmethod
    def of(cls, camera_id: str, admission: Admission) -> AcceptedFrame:
        return cls(
            frame_id=admission.frame_id,
            camera_id=camera_id,
            captured_at=from_us(admission.captured_us),
            disposition=admission.disposition,
        )


class RefusedFrame(BaseModel):
    """index: the frame's place in the batch."""

    index: int
    code: str
    detail: str


class BatchResult(BaseModel):
    """What became of a batch, frame by frame."""

    accepted: list[AcceptedFrame]
    refused: list[RefusedFrame]


_metadata_list = TypeAdapter(list[FrameMetadata])
_boxes = TypeAdapter(list[Box])


@router.post("", status_code=202, openapi_extra=FRAME_BODIES)
async def push_frame(
    request: Request,
    principal: WritesFrames,
    city: CityDep,
    camera_id: str,
    captured_at: Annotated[
        datetime | None, Query(description="Capture time; also as header X-Captured-At")
    ] = None,
    x_captured_at: Annotated[datetime | None, Header()] = None,
    x_person_boxes: Annotated[str | None, Header(description="JSON: a list of Box")] = None,
) -> AcceptedFrame:
    """Pushes one frame: JPEG or PNG as the body, or as multipart `frame` with `metadata`.

    202 means that it is in its camera's window for good. 409: its time has passed. 413, 415, 422:
    it is no image that can be taken. 429: too much is waiting; `Retry-After` says how long.
    """
    camera = await _camera(city, principal.check_camera, camera_id)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind == "multipart/form-data":
            async with request.form(max_files=1) as form:
                pushed = await _from_form(city, form)
        elif kind in ("image/jpeg", "image/png", "application/octet-stream"):
            pushed = PushedFrame(
                await _read_bounded(request, city.settings.frame_max_bytes),
                _captured_us(x_captured_at or captured_at),
                _boxes_in(x_person_boxes),
            )
        else:
            raise UnsupportedMedia(
                f"content type {kind or '(none)'} is not taken; send image/jpeg, image/png or"
                " multipart/form-data",
                code="not_an_image",
            )
    except CityBrainError as error:
        await city.doorman.count_refusal(camera.id, error)
        raise
    return AcceptedFrame.of(camera.id, await city.doorman.admit(camera, pushed))


@router.post("/batch", status_code=202, openapi_extra=BATCH_BODY)
async def push_batch(
    request: Request, principal: WritesFrames, city: CityDep, camera_id: str
) -> BatchResult:
    """Pushes several frames in the order of capture: multipart, `frames` files and `metadata`.

    A frame that is refused does not hold up the others. Under lag the batch stops with 429, whose
    `done` counts the frames that were dealt with: push again from there, or all of it.
    """
    camera = await _camera(city, principal.check_camera, camera_id)
    async with request.form(max_files=city.settings.batch_max_frames) as form:
        batch = await _batch_in(city, form)
    result = BatchResult(accepted=[], refused=[])
    for index, pushed in enumerate(batch):
        try:
            admission = await city.doorman.admit(camera, pushed)
        except Overloaded as error:
            error.extra = {"done": index, **result.model_dump(mode="json")}
            raise
        except CityBrainError as error:
            result.refused.append(RefusedFrame(index=index, code=error.code, detail=str(error)))
        else:
            result.accepted.append(AcceptedFrame.of(camera.id, admission))
    return result


async def _camera(city: City, check: Any, camera_id: str) -> Camera:
    check(camera_id)
    return await city.registry.get(camera_id)


async def _read_bounded(request: Request, max_bytes: int) -> bytes:
    """The body, cut off as soon as it is over the bound."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise TooLarge(
                f"the image has over {max_bytes} bytes, which is the most that is taken",
                code="image_too_large",
            )
    return bytes(body)


async def _from_form(city: City, form: FormData) -> PushedFrame:
    upload = form.get("frame")
    if not isinstance(upload, UploadFile):
        raise Malformed("the form has no file `frame`", code="frame_missing")
    raw = form.get("metadata")
    metadata = FrameMetadata()
    if isinstance(raw, str):
        metadata = _parse(lambda: FrameMetadata.model_validate_json(raw), "metadata")
    return await _pushed(city, upload, metadata)


async def _batch_in(city: City, form: FormData) -> list[PushedFrame]:
    uploads = [part for part in form.getlist("frames") if isinstance(part, UploadFile)]
    raw = form.get("metadata")
    if not uploads or not isinstance(raw, str):
        raise Malformed(
            "a batch needs files `frames` and `metadata`, a JSON list", code="batch_incomplete"
        )
    metadata = _parse(lambda: _metadata_list.validate_json(raw), "metadata")
    if len(metadata) != len(uploads):
        raise Malformed(
            f"{len(uploads)} frames came with {len(metadata)} metadata", code="batch_incomplete"
        )
    return [
        await _pushed(city, upload, about) for upload, about in zip(uploads, metadata, strict=True)
    ]


async def _pushed(city: City, upload: UploadFile, metadata: FrameMetadata) -> PushedFrame:
    # One byte more than may be: the doorman then says that it is too large.
    body = await upload.read(city.settings.frame_max_bytes + 1)
    boxes = None if metadata.boxes is None else tuple(metadata.boxes)
    return PushedFrame(body, _captured_us(metadata.captured_at), boxes)


def _captured_us(moment: datetime | None) -> int:
    """By default now. A camera that has lost its clock begins at 0, which is a time like others."""
    captured_us = us_of(moment)
    return now_us() if captured_us is None else captured_us


def _boxes_in(header: str | None) -> tuple[Box, ...] | None:
    if header is None:
        return None
    return tuple(_parse(lambda: _boxes.validate_json(header), "X-Person-Boxes"))


def _parse(parse: Any, where: str) -> Any:
    """Raises Malformed naming the fields that are wrong."""
    try:
        return parse()
    except ValidationError as error:
        faults = tuple(
            Fault(".".join([where, *map(str, fault["loc"])]), fault["type"], fault["msg"])
            for fault in error.errors()
        )
        named = "; ".join(f"{fault.field}: {fault.message}" for fault in faults)
        raise Malformed(named, code="bad_metadata", faults=faults) from error
