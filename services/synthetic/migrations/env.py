"""Alembic's entry to the synthetic service's schema."""

from services.synthetic.tables import Base
from shared.migrating import run_migrations

run_migrations(Base.metadata)
