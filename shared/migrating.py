"""What every service's migrations/env.py runs: its own metadata, on the connection it is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic import context

if TYPE_CHECKING:
    from sqlalchemy import MetaData


def run_migrations(metadata: MetaData) -> None:
    """Migrates on the connection of `Database.migrate`. batch: SQLite cannot alter tables."""
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=metadata,
        render_as_batch=True,
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()
