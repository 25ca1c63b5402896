"""Errors -> problem documents (RFC 9457). The one place that knows HTTP statuses."""

from __future__ import annotations

import http
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import structlog
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException

from shared import errors

if TYPE_CHECKING:
    from fastapi import FastAPI, Request

log = structlog.get_logger(__name__)

STATUSES: dict[type[errors.CityBrainError], int] = {
    errors.Malformed: 422,
    errors.TooLarge: 413,
    errors.UnsupportedMedia: 415,
    errors.Invalid: 400,
    errors.Missing: 404,
    errors.Stale: 412,
    errors.Conflict: 409,
    errors.Unauthenticated: 401,
    errors.Denied: 403,
    errors.Overloaded: 429,
    errors.Unavailable: 503,
    errors.LeaseLost: 503,
    errors.Corrupt: 500,
    errors.CityBrainError: 500,
}
"""The first class of an error's ancestry that stands here gives the status."""

CODES = {404: "not_found", 405: "method_not_allowed", 401: "unauthenticated", 403: "denied"}


class FieldFault(BaseModel):
    """One field's fault."""

    field: str
    code: str
    message: str


class Problem(BaseModel):
    """A problem document. `code` is a stable word to switch on, `detail` is for people."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    instance: str
    code: str
    request_id: str
    errors: list[FieldFault] = []


def status_of(error: errors.CityBrainError) -> int:
    return next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)


def install_problems(app: FastAPI) -> None:
    """Every error that leaves the app leaves it as a problem document."""
    app.add_exception_handler(errors.CityBrainError, _on_known)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, _on_invalid_request)  # type: ignore[arg-type]
    app.add_exception_handler(HTTPException, _on_http)  # type: ignore[arg-type]
    app.add_exception_handler(RedisError, _on_redis)  # type: ignore[arg-type]
    app.add_exception_handler(Exception, _on_unknown)


def respond(
    request: Request,
    status: int,
    code: str,
    detail: str,
    *,
    faults: tuple[errors.Fault, ...] = (),
    headers: dict[str, str] | None = None,
    extra: dict[str, object] | None = None,
) -> JSONResponse:
    problem = Problem(
        title=http.HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        instance=quote(request.url.path),
        code=code,
        request_id=getattr(request.state, "request_id", ""),
        errors=[FieldFault(field=f.field, code=f.code, message=f.message) for f in faults],
    )
    content: dict[str, Any] = problem.model_dump() | (extra or {})
    return JSONResponse(content, status, headers=headers, media_type="application/problem+json")


async def _on_known(request: Request, error: errors.CityBrainError) -> JSONResponse:
    headers, extra = {}, {}
    if isinstance(error, errors.Overloaded):
        headers["Retry-After"] = str(error.retry_after_s)
        extra = error.extra
    if isinstance(error, errors.Unavailable):
        headers["Retry-After"] = "2"
    if isinstance(error, errors.Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    return respond(
        request,
        status_of(error),
        error.code,
        str(error),
        faults=error.faults,
        headers=headers,
        extra=extra,
    )


async def _on_invalid_request(request: Request, error: RequestValidationError) -> JSONResponse:
    faults = tuple(
        errors.Fault(".".join(str(part) for part in fault["loc"]), fault["type"], fault["msg"])
        for fault in error.errors()
    )
    named = "; ".join(f"{fault.field}: {fault.message}" for fault in faults)
    return respond(request, 422, "malformed", f"the request is malformed: {named}", faults=faults)


async def _on_http(request: Request, error: HTTPException) -> JSONResponse:
    code = CODES.get(error.status_code, "http_error")
    return respond(
        request, error.status_code, code, str(error.detail), headers=dict(error.headers or {})
    )


async def _on_redis(request: Request, error: RedisError) -> JSONResponse:
    return await _on_known(request, errors.Unavailable(f"the bus is away: {error}"))


async def _on_unknown(request: Request, error: Exception) -> JSONResponse:
    # Starlette calls this outside of RequestContext, which else tells log and caller of the id.
    request_id = getattr(request.state, "request_id", "")
    log.error("unexpected_error", path=request.url.path, request_id=request_id, exc_info=error)
    return respond(
        request,
        500,
        "internal",
        "an unexpected error; the log has it under this request id",
        headers={"X-Request-ID": request_id},
    )
