"""What happens around every request: its id and trace, the bound on its body, its query's names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from fastapi import Request
from ulid import ULID

from shared.errors import Fault, Invalid, TooLarge
from shared.telemetry import TRACEPARENT, span

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUEST_ID = b"x-request-id"


class RequestContext:
    """Gives a request its id (or keeps the caller's) and its trace."""

    def __init__(self, app: ASGIApp, service: str) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        request_id = headers.get(REQUEST_ID, b"").decode("latin-1")[:128] or str(ULID())
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (REQUEST_ID, request_id.encode())]
            await send(message)

        traceparent = headers.get(TRACEPARENT.encode(), b"").decode("latin-1")
        with (
            span(f"{scope['method']} {scope['path']}", traceparent),
            structlog.contextvars.bound_contextvars(request_id=request_id),
        ):
            await self._app(scope, receive, send_with_id)


class BodyLimit:
    """Cuts a body off at a bound, whether or not it announced its length."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        taken = 0

        async def receive_bounded() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self._max_bytes:
                raise TooLarge(
                    f"the request's body is over {self._max_bytes} bytes; send smaller batches",
                    code="body_too_large",
                )
            return message

        await self._app(scope, receive_bounded if scope["type"] == "http" else receive, send)


async def refuse_unknown_query(request: Request) -> None:
    """A misspelt filter must not silently return everything.

    Raises Invalid (`unknown_parameter`) naming what was sent and what is known.
    """
    if not request.query_params:
        return
    known = _query_names(request)
    if unknown := sorted(set(request.query_params) - known):
        raise Invalid(
            f"unknown query parameter {', '.join(unknown)};"
            f" known are: {', '.join(sorted(known)) or 'none'}",
            code="unknown_parameter",
            faults=tuple(
                Fault(f"query.{name}", "unknown", "unknown parameter") for name in unknown
            ),
        )


def _query_names(request: Request) -> set[str]:
    """The names that the route's own entry in the OpenAPI document lists."""
    path = request.app.openapi()["paths"].get(request.scope["route"].path_format, {})
    operation = path.get(request.method.lower(), {})
    return {p["name"] for p in operation.get("parameters", ()) if p["in"] == "query"}
