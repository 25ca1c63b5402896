"""A database -> one that is ready: its schema, and the first admin key."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from services.gateway.store.keys import Keys
from shared.auth import Scope
from shared.bus import Bus
from shared.database import Database

if TYPE_CHECKING:
    from services.gateway.settings import GatewaySettings

MIGRATIONS = Path(__file__).parent / "migrations"


async def first_admin_key(settings: GatewaySettings) -> str | None:
    """The secret of a new admin key, or None where there are keys already. Needs Redis."""
    database, bus = Database(settings.database_of("gateway")), Bus(settings.bus_url)
    try:
        keys = Keys(database, bus)
        if await keys.list():
            return None
        _, key = await keys.issue("admin", [Scope.ADMIN])
        return key.secret
    finally:
        await bus.close()
        await database.close()


def hand_over(secret: str, key_file: Path) -> None:
    """Writes a secret to a file that its owner alone can read."""
    key_file.parent.mkdir(parents=True, exist_ok=True)
    key_file.touch(mode=0o600)
    key_file.write_text(secret + "\n")
