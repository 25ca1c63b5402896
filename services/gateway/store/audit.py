"""The audit log: who did what that must be answered for, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ulid import ULID

from services.gateway.store.tables import AuditRow
from shared.clock import now_us

if TYPE_CHECKING:
    from shared.database import Database


async def record(
    database: Database,
    *,
    actor: str,
    action: str,
    purpose: str,
    image: str | None,
    details: dict[str, Any],
) -> str:
    """Writes an entry before the act, so that none goes unrecorded; returns its id."""
    row = AuditRow(
        id=str(ULID()),
        at_us=now_us(),
        actor=actor,
        action=action,
        purpose=purpose,
        image=image,
        details=details,
    )
    async with database.writing() as session:
        session.add(row)
    return row.id
