"""/v1/api-keys, /v1/tickets, /v1/sessions: who may come in."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from services.gateway.api.dependencies import Admin, CityDep
from services.gateway.store.keys import SESSION_SCOPES, TICKET_S
from services.gateway.store.resources import moment
from services.gateway.store.tables import ApiKeyRow
from shared.auth import SESSION_COOKIE, Scope
from shared.clock import from_us

router = APIRouter(prefix="/v1", tags=["keys"])


class KeyRequest(BaseModel):
    """cameras: the only ones that the key may see (absent: all)."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=200)]
    scopes: Annotated[list[Scope], Field(min_length=1)]
    cameras: list[str] | None = None
    valid_s: Annotated[float, Field(gt=0)] | None = None


class ApiKey(BaseModel):
    id: str
    name: str
    scopes: list[str]
    cameras: list[str] | None
    created_at: datetime
    expires_at: datetime | None

    @classmethod
    def of(cls, row: ApiKeyRow) -> ApiKey:
        return cls(
            id=row.id,
            name=row.name,
            scopes=row.scopes,
            cameras=row.cameras,
            created_at=from_us(row.created_us),
            expires_at=moment(row.expires_us),
        )


class FreshKey(ApiKey):
    """secret: shown now and never again."""

    secret: str


class Ticket(BaseModel):
    """Opens the page once: `/?ticket=...`."""

    ticket: str
    expires_at: datetime | None


class TicketToSpend(BaseModel):
    ticket: str


class Session(BaseModel):
    expires_at: datetime | None
    scopes: list[str]


@router.post("/api-keys", status_code=201)
async def create_key(_: Admin, city: CityDep, asked: KeyRequest) -> FreshKey:
    """Makes a key. Its secret is in this answer alone."""
    row, key = await city.keys.issue(
        asked.name, asked.scopes, cameras=asked.cameras, valid_s=asked.valid_s
    )
    return FreshKey(**ApiKey.of(row).model_dump(), secret=key.secret)


@router.get("/api-keys")
async def list_keys(_: Admin, city: CityDep) -> list[ApiKey]:
    """All keys that work, the newest first."""
    return [ApiKey.of(row) for row in await city.keys.list()]


@router.delete("/api-keys/{key_id}", status_code=204)
async def revoke_key(_: Admin, city: CityDep, key_id: str) -> None:
    """From now on the key is refused, at every service."""
    await city.keys.revoke(key_id)


@router.post("/tickets", status_code=201)
async def create_ticket(_: Admin, city: CityDep) -> Ticket:
    """A one-time ticket for the page, good for ten minutes."""
    row, key = await city.keys.issue("page", SESSION_SCOPES, kind="ticket", valid_s=TICKET_S)
    return Ticket(ticket=key.secret, expires_at=moment(row.expires_us))


@router.post("/sessions", status_code=201)
async def open_session(city: CityDep, response: Response, spent: TicketToSpend) -> Session:
    """Spends a ticket for a session, kept in a cookie that scripts cannot read."""
    row, key = await city.keys.spend_ticket(spent.ticket, city.settings.session_s)
    response.set_cookie(
        SESSION_COOKIE,
        key.secret,
        max_age=int(city.settings.session_s),
        httponly=True,
        samesite="strict",
        secure=city.settings.session_secure,
    )
    return Session(expires_at=moment(row.expires_us), scopes=row.scopes)
