"""The re-ID service's migrations make the tables of its code, and lead back."""

from __future__ import annotations

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect

from services.reid.gallery.schema import MIGRATIONS
from services.reid.gallery.tables import Base


def test_the_migrations_make_the_schema_of_the_code_and_lead_back(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path}/reid.db")
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
        command.downgrade(config, "0001")
        assert "forgotten" not in inspect(connection).get_table_names()
    engine.dispose()
