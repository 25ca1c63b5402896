"""What routes ask for: the principal with a scope, and the parts of the running gateway."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Protocol, TypeVar

from fastapi import Depends, Query, Request, Security

from services.gateway.city import City
from services.gateway.store import history
from services.gateway.store.history import Record
from shared.auth import Principal, Scope, authenticate
from shared.clock import EPOCH, to_us
from shared.errors import Denied, Malformed
from shared.paging import Page

if TYPE_CHECKING:
    from fastapi.params import Security as SecurityParam


def _city(request: Request) -> City:
    city: City = request.app.state.city
    return city


CityDep = Annotated[City, Depends(_city)]


def allowed(*scopes: Scope) -> SecurityParam:
    """The principal of a request that has all these scopes."""
    return Security(authenticate, scopes=[scope.value for scope in scopes])  # type: ignore[no-any-return]


ReadsCameras = Annotated[Principal, allowed(Scope.CAMERAS_READ)]
WritesCameras = Annotated[Principal, allowed(Scope.CAMERAS_WRITE)]
WritesFrames = Annotated[Principal, allowed(Scope.FRAMES_WRITE)]
ReadsAlerts = Annotated[Principal, allowed(Scope.ALERTS_READ)]
ReadsPersons = Annotated[Principal, allowed(Scope.PERSONS_READ)]
WritesPersons = Annotated[Principal, allowed(Scope.PERSONS_WRITE)]
ErasesPersons = Annotated[Principal, allowed(Scope.PERSONS_ERASE)]
SearchesPersons = Annotated[Principal, allowed(Scope.PERSONS_SEARCH)]
TriesRules = Annotated[Principal, allowed(Scope.CAMERAS_READ, Scope.ALERTS_READ)]
Admin = Annotated[Principal, allowed(Scope.ADMIN)]

Limit = Annotated[int, Query(ge=1, le=1000, description="Items of a page")]
Cursor = Annotated[str | None, Query(description="`next_cursor` of the page before")]
StartTime = Annotated[datetime | None, Query(description="Inclusive; RFC 3339")]
EndTime = Annotated[datetime | None, Query(description="Exclusive; RFC 3339")]


WEEK = timedelta(days=7)
LONGEST_FOOTAGE = timedelta(days=14)


class Shown(Protocol):
    """A resource with an id."""

    id: str


Resource = TypeVar("Resource", bound=Shown)


@dataclass(frozen=True)
class History:
    """A page of what has been done for a camera, as it was asked for in path and query."""

    principal: ReadsCameras
    city: CityDep
    camera_id: str
    limit: Limit = 100
    cursor: Cursor = None

    async def page(
        self, table: type[Record], shown: Callable[[Record], Resource]
    ) -> Page[Resource]:
        """shown: a row as REST shows it. Raises Denied, or Missing for an unknown camera."""
        self.principal.check_camera(self.camera_id)
        async with self.city.database.reading() as session:
            rows = await history.page(session, table, self.camera_id, self.limit + 1, self.cursor)
        return Page.of([shown(row) for row in rows], self.limit, key=lambda item: item.id)


HistoryDep = Annotated[History, Depends()]


def us_of(moment: datetime | None) -> int | None:
    """Microseconds of a moment. Raises Malformed for one without a time zone."""
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise Malformed("times need a zone: 2026-01-31T12:00:00Z", code="time_without_zone")
    return to_us(moment)


def version_in(if_match: str | None) -> int | None:
    """The version that an If-Match names. Raises Malformed."""
    if if_match is None:
        return None
    try:
        return int(if_match.strip('"'))
    except ValueError:
        raise Malformed(f"If-Match {if_match!r} is no version", code="bad_etag") from None


def cameras_of(principal: Principal) -> list[str] | None:
    """The only cameras that a key may see, as another service is asked for them (None: all).

    Raises Denied for a key that may see none: to name none would mean all.
    """
    if principal.cameras is None:
        return None
    if not principal.cameras:
        raise Denied("this key is for no camera", code="camera_denied")
    return sorted(principal.cameras)


def span_us(start: datetime | None, end: datetime | None, default: timedelta) -> tuple[int, int]:
    """A half-open span of time; by default the last `default` until now.

    Raises Malformed where it ends before it starts.
    """
    end_us = us_of(end)
    if end_us is None:
        end_us = to_us(datetime.now(EPOCH.tzinfo)) + 1
    start_us = us_of(start)
    if start_us is None:
        start_us = end_us - default // timedelta(microseconds=1)
    if start_us > end_us:
        raise Malformed("start_time is after end_time", code="empty_span")
    return start_us, end_us


def footage_us(start: datetime | None, end: datetime | None) -> tuple[int, int]:
    """A span whose stored scores are gone through frame by frame; by default the last week.

    Raises Malformed as `span_us` does, and where it is longer than LONGEST_FOOTAGE.
    """
    start_us, end_us = span_us(start, end, WEEK)
    if end_us - start_us > LONGEST_FOOTAGE // timedelta(microseconds=1) + 1:
        raise Malformed(
            f"the span is longer than {LONGEST_FOOTAGE.days} days", code="span_too_long"
        )
    return start_us, end_us
