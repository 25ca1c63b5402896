"""Idempotency keys: the same create twice makes one resource."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.gateway.store.tables import IdempotencyRow
from shared.clock import now_us
from shared.errors import Conflict

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession


async def recall(session: AsyncSession, noun: str, key: str | None, digest: str) -> str | None:
    """The id of what this key has made before.

    Raises Conflict where it was used with other content.
    """
    if key is None:
        return None
    row = await session.get(IdempotencyRow, f"{noun}/{key}")
    if row is None:
        return None
    if row.digest != digest:
        raise Conflict("this Idempotency-Key was used with other content", code="key_reused")
    return row.resource_id


async def remember(
    session: AsyncSession, noun: str, key: str | None, digest: str, resource_id: str
) -> None:
    """Notes what the key has made, in the transaction that makes it."""
    if key is not None:
        session.add(
            IdempotencyRow(
                key=f"{noun}/{key}", digest=digest, resource_id=resource_id, created_us=now_us()
            )
        )
