"""What happens around every request: its id and trace, the bound on its body, its query's names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from fastapi import Request
from ulid import ULID

from shared.errors import Fault, Invalid, TooLarge
from shared.problems import respond, status_of
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
                message["headers"] = [
                    *message["headers"],
                    (REQUEST_ID, request_id.encode("latin-1")),
                ]
            await send(message)

        traceparent = headers.get(TRACEPARENT.encode(), b"").decode("latin-1")
        with (
            span(f"{scope['method']} {scope['path']}", traceparent),
            structlog.contextvars.bound_contextvars(request_id=request_id),
        ):
            await self._app(scope, receive, send_with_id)


class BodyLimit:
    """Cuts a body off at a bound, whether or not it announced its length.

    It answers by itself: what parses a body makes a 400 of whatever it meets while it reads.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _BoundedBody(receive, send, self._max_bytes)
        error = body.overflow()
        if _announced_bytes(scope) <= self._max_bytes:
            try:
                await self._app(scope, body.receive, body.send)
            except TooLarge as raised:
                if not body.is_over:
                    raise
                error = raised
            if not body.is_over or body.is_answered:
                return
        response = respond(Request(scope), status_of(error), error.code, str(error))
        await response(scope, receive, send)


class _BoundedBody:
    """One request's body, and the answer to it, which is withheld once the body is over."""

    def __init__(self, receive: Receive, send: Send, max_bytes: int) -> None:
        self._receive = receive
        self._send = send
        self._max_bytes = max_bytes
        self._taken = 0
        self.is_over = False
        self.is_answered = False

    def overflow(self) -> TooLarge:
        return TooLarge(
            f"the request's body is over {self._max_bytes} bytes; send smaller batches",
            code="body_too_large",
        )

    async def receive(self) -> Message:
        message = await self._receive()
        self._taken += len(message.get("body", b""))
        if self._taken > self._max_bytes:
            self.is_over = True
            raise self.overflow()
        return message

    async def send(self, message: Message) -> None:
        if self.is_over and not self.is_answered:
            return
        self.is_answered = True
        await self._send(message)


def _announced_bytes(scope: Scope) -> int:
    announced = dict(scope["headers"]).get(b"content-length", b"0")
    return int(announced) if announced.isdigit() else 0


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
