"""Alembic's entry to the re-ID service's schema."""

from services.reid.gallery.tables import Base
from shared.migrating import run_migrations

run_migrations(Base.metadata)
