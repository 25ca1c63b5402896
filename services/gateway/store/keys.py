"""API keys, sessions and tickets: rows in the database, projected into Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from services.gateway.store.tables import ApiKeyRow
from shared.auth import KEYS, KeyDirectory, NewKey, Scope, digest_of, make_key
from shared.clock import SECOND_US, now_us
from shared.errors import Missing, Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shared.bus import Bus
    from shared.database import Database

SESSION_SCOPES = (
    Scope.CAMERAS_READ,
    Scope.ALERTS_READ,
    Scope.ALERTS_ACT,
    Scope.PERSONS_READ,
    Scope.PERSONS_SEARCH,
    Scope.PERSONS_WRITE,
    Scope.PERSONS_ERASE,
    Scope.JOBS_READ,
)
"""What the page may do with a session."""

SERVICE_SCOPES = (
    Scope.MODELS_USE,
    Scope.PERSONS_READ,
    Scope.PERSONS_SEARCH,
    Scope.PERSONS_WRITE,
    Scope.PERSONS_ERASE,
    Scope.JOBS_READ,
    Scope.JOBS_WRITE,
)
"""What a gateway may do at the other services."""

TICKET_S = 600.0


def _entry(row: ApiKeyRow) -> dict[str, Any]:
    return {
        "key_id": row.id,
        "name": row.name,
        "scopes": row.scopes,
        "cameras": row.cameras,
        "expires_us": row.expires_us,
    }


class Keys:
    """The keys of this installation. A key works at every service as soon as it is in Redis."""

    def __init__(self, database: Database, bus: Bus) -> None:
        self._database = database
        self._bus = bus
        self._directory = KeyDirectory(bus.redis)

    async def issue(
        self,
        name: str,
        scopes: Iterable[str],
        *,
        kind: str = "key",
        cameras: list[str] | None = None,
        valid_s: float | None = None,
    ) -> tuple[ApiKeyRow, NewKey]:
        """A new key; its secret is known to the caller alone, and only now."""
        key = make_key()
        now = now_us()
        row = ApiKeyRow(
            id=key.key_id,
            kind=kind,
            name=name,
            digest=key.digest,
            scopes=sorted(scopes),
            cameras=cameras,
            created_us=now,
            expires_us=None if valid_s is None else now + int(valid_s * SECOND_US),
        )
        async with self._database.writing() as session:
            session.add(row)
        # A ticket opens one session and nothing else: no service needs to know it.
        if kind != "ticket":
            await self._directory.put(row.digest, _entry(row))
        return row, key

    async def spend_ticket(self, secret: str, session_s: float) -> tuple[ApiKeyRow, NewKey]:
        """A session for a ticket. Raises Unauthenticated for one that is unknown or spent."""
        now = now_us()
        async with self._database.writing() as session:
            ticket = await session.scalar(
                select(ApiKeyRow)
                .where(ApiKeyRow.digest == digest_of(secret), ApiKeyRow.kind == "ticket")
                .with_for_update()
            )
            if ticket is None or ticket.revoked_us is not None or (ticket.expires_us or 0) <= now:
                raise Unauthenticated(
                    "this ticket is unknown, spent or too old; ask for a new one", code="bad_ticket"
                )
            ticket.revoked_us = now
            scopes, cameras = ticket.scopes, ticket.cameras
        return await self.issue("page", scopes, kind="session", cameras=cameras, valid_s=session_s)

    async def revoke(self, key_id: str) -> None:
        """Raises Missing."""
        async with self._database.writing() as session:
            row = await session.get(ApiKeyRow, key_id, with_for_update=True)
            if row is None or row.revoked_us is not None:
                raise Missing(f"no API key {key_id!r}", code="unknown_key")
            row.revoked_us = now_us()
        await self._directory.remove(row.digest)

    async def list(self) -> list[ApiKeyRow]:
        """Keys that are neither revoked nor sessions, the newest first."""
        query = select(ApiKeyRow).where(ApiKeyRow.kind == "key", ApiKeyRow.revoked_us.is_(None))
        async with self._database.reading() as session:
            return list(await session.scalars(query.order_by(ApiKeyRow.created_us.desc())))

    async def project(self) -> None:
        """Puts all valid keys into Redis, where it has lost them or never had them."""
        if await self._bus.redis.exists(KEYS):
            return
        valid = select(ApiKeyRow).where(ApiKeyRow.kind != "ticket", ApiKeyRow.revoked_us.is_(None))
        async with self._database.reading() as session:
            rows = list(await session.scalars(valid))
        await self._directory.replace_all({row.digest: _entry(row) for row in rows})
