"""A service's own database: SQLite in a file, or PostgreSQL, behind the same two transactions."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import BigInteger, MetaData, event, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from shared.errors import Unavailable
from shared.patience import will_pass

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from threading import Thread

    from sqlalchemy import Connection
    from sqlalchemy.orm import DeclarativeBase

    from shared.health import Vital

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

Counter64 = BigInteger().with_variant(sqlite.INTEGER(), "sqlite")
"""A 64-bit key that counts by itself: SQLite does so for INTEGER only."""


INTEGERS = {int: BigInteger}
"""Type map of every service's declarative base: times and counts have 64 bits."""


LONGEST_FAREWELL_S = 10.0
"""A connection that somebody still uses is not waited for any longer."""


def new_metadata() -> MetaData:
    """Metadata for one service's tables, with named constraints that migrations can drop."""
    return MetaData(naming_convention=NAMING)


class Database:
    """Transactions on one database.

    Write transactions begin IMMEDIATE on SQLite, whose default loses updates between processes
    silently; on PostgreSQL rows are locked by `SELECT ... FOR UPDATE`, which SQLite leaves out.

    patience_s: how long a lock, a free connection or the server is waited for.
    """

    def __init__(self, url: str, *, pool_size: int = 10, patience_s: float = 30.0) -> None:
        self.url = url
        self.is_sqlite = make_url(url).get_backend_name() == "sqlite"
        connecting: dict[str, Any] = {"timeout": patience_s}
        if self.is_sqlite:
            _make_folder_of(url)
        else:
            connecting["server_settings"] = {"lock_timeout": str(round(patience_s * 1000))}
        self._engine = create_async_engine(
            url,
            pool_size=pool_size,
            pool_timeout=patience_s,
            pool_pre_ping=not self.is_sqlite,
            connect_args=connecting,
        )
        self._threads: WeakSet[Thread] = WeakSet()
        if self.is_sqlite:
            _tame_sqlite(self._engine.sync_engine, self._threads)
        self._writing_engine = self._engine.execution_options(begins_immediate=True)

    async def close(self) -> None:
        await self._engine.dispose()
        # A connection that was cancelled in mid-statement ends with that statement, in its own
        # thread, and tells the loop, which must still be there.
        for thread in list(self._threads):
            await asyncio.to_thread(thread.join, LONGEST_FAREWELL_S)

    async def ping(self) -> None:
        """Raises Unavailable where the database is away."""
        async with self.reading() as session:
            await session.execute(text("SELECT 1"))

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """A transaction that only reads. Raises Unavailable where the database is away."""
        async with _translated(), AsyncSession(self._engine) as session:
            await _connect(session)
            yield session

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncSession]:
        """A transaction that writes: committed at its end, rolled back by an exception.

        Raises Unavailable where the database is away, full or locked for too long.
        """
        async with (
            _translated(),
            AsyncSession(self._writing_engine, expire_on_commit=False) as session,
            session.begin(),
        ):
            await _connect(session)
            yield session

    def insert(self, table: type[DeclarativeBase]) -> Any:
        """An INSERT that knows `on_conflict_do_nothing` and `on_conflict_do_update`."""
        return sqlite.insert(table) if self.is_sqlite else postgresql.insert(table)

    async def migrate(self, migrations: Path) -> None:
        """Brings the schema up to the newest revision of the folder, wholly or not at all.

        Processes that start at once do it one after the other.
        """

        def upgrade(connection: Connection) -> None:
            config = _alembic_config(migrations)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

        async with self.writing() as session:
            connection = await session.connection()
            if not self.is_sqlite:
                await connection.execute(text("SET LOCAL lock_timeout = 0"))
                await connection.execute(text("SELECT pg_advisory_xact_lock(7031)"))
            await connection.run_sync(upgrade)

    async def pending_migrations(self, migrations: Path) -> bool:
        """Whether the schema is older than the code."""
        head = ScriptDirectory.from_config(_alembic_config(migrations)).get_current_head()

        def current(connection: Connection) -> str | None:
            return MigrationContext.configure(connection).get_current_revision()

        async with self.reading() as session:
            return await (await session.connection()).run_sync(current) != head


def _alembic_config(migrations: Path) -> Config:
    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    return config


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    """What will pass by itself is Unavailable; what is wrong with a statement stays what it is."""
    try:
        yield
    except DBAPIError as error:
        if will_pass(error):
            raise Unavailable(f"database: {error.orig}") from error
        raise
    except ConnectionError as error:
        raise Unavailable(f"database: {error}") from error


async def _connect(session: AsyncSession) -> None:
    """Before the body runs, so that the body's own errors are not taken for the database's."""
    try:
        await session.connection()
    except (OSError, PoolTimeoutError) as error:
        raise Unavailable(f"database: {error}") from error


def _make_folder_of(url: str) -> None:
    file = make_url(url).database
    if file and file != ":memory:":
        Path(file).parent.mkdir(parents=True, exist_ok=True)


def _tame_sqlite(engine: Any, threads: WeakSet[Thread]) -> None:
    """threads: those of all connections are added."""

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _: Any) -> None:
        threads.add(connection.driver_connection._thread)
        # The driver would begin transactions on its own, and late; begin() below does it.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "invalidate")
    def roll_back(connection: Any, *_: object) -> None:
        # A transaction was cancelled in mid-statement. While anything still refers to that
        # statement, closing the connection alone would keep its lock.
        with suppress(Exception):
            connection.rollback()

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        immediate = connection.get_execution_options().get("begins_immediate", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


async def migrate_once(url: str, migrations: Path) -> None:
    """Migrates a database and lets go of it: what a service's `init` does."""
    database = Database(url)
    try:
        await database.migrate(migrations)
    finally:
        await database.close()


async def watch_schema(
    database: Database, migrations: Path, vital: Vital, *, every_s: float = 1.0
) -> None:
    """Until cancelled: unready while the database is away or its schema is older than the code."""
    pending = True
    while True:
        try:
            if pending:
                pending = await database.pending_migrations(migrations)
            await database.ping()
            if pending:
                vital.ailing("the schema is older than the code: run this service's `init`")
            else:
                vital.well()
        except Unavailable as error:
            vital.ailing(str(error))
        await asyncio.sleep(every_s)
