"""Alembic's entry to the gateway's schema."""

from services.gateway.store.tables import Base
from shared.migrating import run_migrations

run_migrations(Base.metadata)
