"""What the tests of the floor share: a database of either kind, and vital signs to look at."""

from __future__ import annotations

import pytest
import structlog

from shared.database import Database
from shared.health import Vital
from tests.unit.shared.floor import make_tables


@pytest.fixture(autouse=True, scope="session")
def _terse_log():
    """One line an event: structlog's default draws every traceback with all its variables."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ]
    )


@pytest.fixture
def sqlite_url(tmp_path):
    return f"sqlite+aiosqlite:///{tmp_path}/floor.db"


KINDS = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


@pytest.fixture(params=KINDS)
def empty_url(request):
    """A new database of either kind, without tables."""
    named = {"sqlite": "sqlite_url", "postgres": "postgres_database"}
    return request.getfixturevalue(named[request.param])


@pytest.fixture(scope="session")
def postgres_floor(postgres_server):
    """A database with the tables of the floor: to make one for every test would take longer than
    the tests."""
    postgres_server.create("floor")
    return postgres_server.url("floor")


@pytest.fixture(params=KINDS)
def database_url(request):
    named = {"sqlite": "sqlite_url", "postgres": "postgres_floor"}
    return request.getfixturevalue(named[request.param])


@pytest.fixture
async def database(database_url):
    """A database of either kind, with the tables of the floor, all empty."""
    database = Database(database_url)
    await make_tables(database)
    yield database
    await database.close()


@pytest.fixture
async def sqlite(sqlite_url):
    database = Database(sqlite_url)
    await make_tables(database)
    yield database
    await database.close()


@pytest.fixture
def vital():
    return Vital("task")
