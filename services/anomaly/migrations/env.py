"""Alembic's entry to the anomaly service's schema."""

from services.anomaly.tables import Base
from shared.migrating import run_migrations

run_migrations(Base.metadata)
