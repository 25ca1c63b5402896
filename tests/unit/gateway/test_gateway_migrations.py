"""Databases of earlier versions -> the newest schema, with what they had learnt."""

from __future__ import annotations

import numpy as np
import ormsgpack
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from datasketches import kll_floats_sketch
from sqlalchemy import create_engine, text

from services.gateway.core.baseline import Baseline
from services.gateway.setup import MIGRATIONS
from services.gateway.store.tables import Base
from tests.unit.gateway.test_baseline import PRIOR, normal


@pytest.fixture
def old(tmp_path):
    """A database of the first version, in which two cameras have learnt."""
    engine = create_engine(f"sqlite:///{tmp_path / 'old.db'}")
    with engine.begin() as connection:
        migrate(connection, "0001")
        for camera_id, context in (("gate", "m/cpu"), ("door", "m/cpu"), ("door", "n/cpu")):
            sketch = kll_floats_sketch(400)
            sketch.update(normal(20_000).astype(np.float32))
            row = {"camera_id": camera_id, "context": context, "sketch": sketch.serialize()}
            connection.execute(
                text("INSERT INTO baselines VALUES (:camera_id, :context, 20000, :sketch, 1)"), row
            )
        for camera_id in ("gate", "door"):
            connection.execute(
                text(
                    "INSERT INTO score_outcomes (camera_id, born, seq, epoch, outcome, owned,"
                    " start_us, end_us, arrived_us, folded, timeline)"
                    " VALUES (:camera_id, 1, 0, 1, 'done', 1, 1, 1, 1, 1, :timeline)"
                ),
                {"camera_id": camera_id, "timeline": ormsgpack.packb([[1, 0.1, 0.0]])},
            )
    yield engine
    engine.dispose()


def migrate(connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    if revision == "0001" and MigrationContext.configure(connection).get_current_revision():
        command.downgrade(config, revision)
    else:
        command.upgrade(config, revision)


def test_what_cameras_had_learnt_is_carried_over(old):
    with old.begin() as connection:
        migrate(connection, "head")
        rows = connection.execute(text("SELECT frames, sketch FROM baselines")).all()
    for frames, sketch in rows:
        baseline = Baseline(sketch)
        assert baseline.frames == frames == 20_000
        levels = baseline.levels(PRIOR)
        assert levels.usual == pytest.approx(0.01, rel=0.02)
        assert not levels.learning


def test_an_old_clip_is_of_the_one_context_that_its_camera_has_known(old):
    with old.begin() as connection:
        migrate(connection, "head")
        query = text("SELECT camera_id, context FROM score_outcomes")
        contexts = {row.camera_id: row.context for row in connection.execute(query)}
    assert contexts == {"gate": "m/cpu", "door": None}, "of two, nobody knows which"


def test_the_way_back_keeps_what_was_learnt_too(old):
    with old.begin() as connection:
        migrate(connection, "head")
        migrate(connection, "0001")
        sketches = connection.execute(text("SELECT sketch FROM baselines")).scalars().all()
    for packed in sketches:
        sketch = kll_floats_sketch.deserialize(packed)
        assert sketch.get_quantile(0.5) == pytest.approx(0.01, rel=0.02)


def test_the_migrations_make_the_schema_of_the_code(old):
    with old.begin() as connection:
        migrate(connection, "head")
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
