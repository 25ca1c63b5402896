"""POST /v1/score: a clip of frames in, errors and maps out, without any camera or stream."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Security
from pydantic import BaseModel
from starlette.datastructures import UploadFile

from services.anomaly.scorer import NOT_FINITE, ClipErrors, Scorer, View
from shared.auth import Scope, authenticate
from shared.clock import frame_times
from shared.errors import Malformed
from shared.images import ImageLimits, decode, inspect
from shared.messages import Prior
from shared.rack import Loaded

router = APIRouter(prefix="/v1", tags=["score"])

SCORE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["frames"],
                    "properties": {
                        "frames": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                            "description": "JPEG or PNG, in the order of capture",
                        }
                    },
                }
            }
        },
    }
}


class RegionBox(BaseModel):
    x: float
    y: float
    width: float
    height: float


class FrameResult(BaseModel):
    """error: raw, in the model's own unit: squared pixel value for STAE, none for STAE+, which adds
    up how far each of its parts lies above the usual. score: 0 for the model's usual normal frame,
    1 for what its normal footage exceeds once in a thousand frames. error_map: the same by
    patch."""

    error: float
    score: float
    regions: list[RegionBox]
    error_map: list[list[float]] | None = None


class ScoreResult(BaseModel):
    """The errors of a clip. prior: quantiles of the error on the model's own normal footage."""

    model: str
    model_digest: str
    provider: str
    precision: str
    prior: Prior
    frames: list[FrameResult]


@router.post(
    "/score",
    openapi_extra=SCORE_BODY,
    dependencies=[Security(authenticate, scopes=[Scope.MODELS_USE])],
)
async def score_clip(
    request: Request,
    model: Annotated[str | None, Query(description="By default the active one")] = None,
    maps: Annotated[bool, Query(description="With the error maps")] = False,
    fps: Annotated[
        float | None,
        Query(gt=0, description="Frames a second, by default as the model's footage had"),
    ] = None,
) -> ScoreResult:
    """Scores a clip of as many frames as the model takes.

    413, 415, 422: a frame is no image that can be taken, their number is wrong, or the model makes
    no finite error of them. 429: too many clips wait.
    """
    state = request.app.state
    loaded: Loaded[Scorer] = await (state.rack.get(model) if model else state.rack.for_camera("*"))
    wanted = loaded.runtime.frames_per_clip
    async with request.form(max_files=wanted + 1) as form:
        uploads = [part for part in form.getlist("frames") if isinstance(part, UploadFile)]
        bodies = [await upload.read(state.limits.max_bytes + 1) for upload in uploads]
    if len(bodies) != wanted:
        raise Malformed(
            f"{len(bodies)} files `frames` came; {loaded.context.model} takes {wanted}",
            code="clip_length",
        )
    frames = await asyncio.to_thread(_judged, bodies, state.limits, loaded.runtime.decodes)
    captured_us = frame_times(fps, wanted) if fps else ()
    errors: ClipErrors = await state.score(loaded, View(frames, captured_us=captured_us))
    if not errors.is_finite:
        raise Malformed(
            f"{loaded.context.model} makes no finite error of these frames", code=NOT_FINITE
        )
    return _result(loaded, errors, maps=maps)


def _judged(bodies: list[bytes], limits: ImageLimits, colour: Literal["gray", "rgb"]) -> list[Any]:
    for body in bodies:
        inspect(body, limits)
    return [decode(body, colour) for body in bodies]


def _result(loaded: Loaded[Scorer], errors: ClipErrors, *, maps: bool) -> ScoreResult:
    prior = loaded.runtime.prior.frame
    return ScoreResult(
        model=loaded.context.model,
        model_digest=loaded.context.model_digest,
        provider=loaded.context.provider,
        precision=loaded.context.precision,
        prior=prior,
        frames=[
            FrameResult(
                error=float(error),
                score=(float(error) - prior.q50) / (prior.q999 - prior.q50),
                regions=[
                    RegionBox(**region.model_dump(exclude={"confidence"})) for region in regions
                ],
                error_map=error_map.tolist() if maps else None,
            )
            for error, regions, error_map in zip(
                errors.frame_errors, errors.regions, errors.maps, strict=True
            )
        ],
    )
