"""Alembic's entry to the gateway's schema."""

from services.gateway.store.people_tables import SightingRow
from shared.migrating import run_migrations

# All tables share it, and those of people rest on the others.
run_migrations(SightingRow.metadata)
