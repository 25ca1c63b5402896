"""Alembic's entry to the gateway's schema."""

from services.gateway.store.adaptation_tables import AdaptationRow
from services.gateway.store.people_tables import SightingRow
from shared.migrating import run_migrations

# All tables share it, wherever they are written down.
(metadata,) = {row.metadata for row in (AdaptationRow, SightingRow)}
run_migrations(metadata)
