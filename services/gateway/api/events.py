"""/v1/events/stream: everything that happens, as server-sent events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query
from sse_starlette import EventSourceResponse, ServerSentEvent

from services.gateway.api.dependencies import CityDep, ReadsAlerts
from services.gateway.feed import Event, Feed
from shared.auth import Principal
from shared.clock import from_us
from shared.errors import Malformed

router = APIRouter(prefix="/v1/events", tags=["events"])

PING_S = 15


@router.get(
    "/stream",
    response_class=EventSourceResponse,
    responses={200: {"content": {"text/event-stream": {}}}},
)
async def stream_events(
    principal: ReadsAlerts,
    city: CityDep,
    types: Annotated[
        list[str] | None, Query(description="Only these, such as alert.opened; `alert.` for all")
    ] = None,
    last_event_id: Annotated[str | None, Header()] = None,
    after: Annotated[
        str | None, Query(description="As the header Last-Event-ID, for clients without headers")
    ] = None,
) -> EventSourceResponse:
    """Events from now on, or from behind `Last-Event-ID`. An event `reset` says that the stream no
    longer reaches back so far: read the lists anew."""
    last = last_event_id or after
    if last is not None and not _is_id(last):
        raise Malformed(f"{last!r} is no event id", code="bad_event_id")
    events = _serialise(city.feed, principal, tuple(types or ()), last)
    return EventSourceResponse(events, ping=PING_S)


async def _serialise(
    feed: Feed, principal: Principal, types: tuple[str, ...], after: str | None
) -> AsyncIterator[ServerSentEvent]:
    async for event in feed.listen(after):
        if event is None:
            yield ServerSentEvent(event="reset", data="{}")
        elif _concerns(event, principal, types):
            yield ServerSentEvent(
                id=event.id,
                event=event.raised.type,
                data=json.dumps(
                    {
                        "type": event.raised.type,
                        "camera_id": event.raised.camera_id,
                        "raised_at": from_us(event.raised.raised_us).isoformat(),
                        "data": event.raised.data,
                    }
                ),
            )


def _concerns(event: Event, principal: Principal, types: tuple[str, ...]) -> bool:
    camera_id = event.raised.camera_id
    # An incident spans cameras: it is told to keys that may see all of them.
    visible = principal.cameras is None or (camera_id is not None and principal.sees(camera_id))
    return visible and (not types or event.raised.type.startswith(types))


def _is_id(text: str) -> bool:
    milliseconds, _, count = text.partition("-")
    return milliseconds.isdigit() and (count or "0").isdigit()
