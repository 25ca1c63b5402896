from __future__ import annotations

import asyncio
import random
import sqlite3
import threading
from contextlib import AsyncExitStack
from textwrap import dedent

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from shared.database import Database, watch_schema
from shared.errors import Unavailable
from tests.unit.shared.floor import Counter, end_of, make_tables, start, until
from tests.unit.shared.programs import increment, migrate


async def set_counter(database, value):
    async with database.writing() as session:
        await session.merge(Counter(name="frames", value=value))


COUNT_FAR = """
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 3000000)
    SELECT count(*) FROM n
"""


def no_driver_works() -> bool:
    """Each of aiosqlite's connections has a thread, which ends a little after its connection."""
    return not any("connection_worker" in thread.name for thread in threading.enumerate())


async def counter(database) -> int:
    async with database.reading() as session:
        return (await session.get_one(Counter, "frames")).value


async def test_no_increment_of_several_processes_is_lost(database, database_url):
    await set_counter(database, 0)
    writers = [start(increment, database_url, 50) for _ in range(3)]
    assert [await end_of(writer) for writer in writers] == [0, 0, 0]
    assert await counter(database) == 150


async def test_no_increment_of_several_tasks_is_lost(database):
    await set_counter(database, 0)

    async def increment():
        async with database.writing() as session:
            row = await session.get(Counter, "frames", with_for_update=True)
            await asyncio.sleep(0)
            row.value += 1

    await asyncio.gather(*(increment() for _ in range(30)))
    assert await counter(database) == 30


async def test_a_transaction_that_fails_leaves_nothing(database):
    await set_counter(database, 1)

    async def write_and_fail():
        async with database.writing() as session:
            row = await session.get(Counter, "frames", with_for_update=True)
            row.value = 2
            await session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await write_and_fail()
    assert await counter(database) == 1


async def test_a_reader_is_not_held_up_by_a_writer(database):
    await set_counter(database, 1)
    async with database.writing() as session:
        row = await session.get(Counter, "frames", with_for_update=True)
        row.value = 2
        await session.flush()
        assert await asyncio.wait_for(counter(database), 20) == 1
    assert await counter(database) == 2


async def test_writers_that_are_cancelled_anywhere_leave_no_lock_behind(database):
    await set_counter(database, 0)

    async def increment():
        async with database.writing() as session:
            row = await session.get(Counter, "frames", with_for_update=True)
            row.value += 1

    chance = random.Random(7)
    for _ in range(40):
        writers = [asyncio.create_task(increment()) for _ in range(3)]
        await asyncio.sleep(chance.uniform(0, 0.01))
        for writer in writers:
            writer.cancel()
        await asyncio.wait_for(asyncio.gather(*writers, return_exceptions=True), 20)
    before = await counter(database)
    await asyncio.wait_for(increment(), 20)
    assert await counter(database) == before + 1
    await database.close()
    assert no_driver_works()


async def test_a_connection_that_was_cancelled_in_mid_statement_has_ended_when_its_database_has(
    sqlite_url,
):
    database = Database(sqlite_url)
    await database.ping()

    async def dawdle():
        async with database.reading() as session:
            await session.execute(text(COUNT_FAR))

    slow = asyncio.create_task(dawdle())
    await asyncio.sleep(0.05)
    slow.cancel()
    await asyncio.wait([slow], timeout=0)
    await database.close()
    assert no_driver_works()


async def test_a_database_that_is_locked_for_too_long_is_unavailable(database, database_url):
    await set_counter(database, 0)
    impatient = Database(database_url, patience_s=0.1)
    async with database.writing() as session:
        await session.get(Counter, "frames", with_for_update=True)
        with pytest.raises(Unavailable):
            async with impatient.writing() as second:
                await second.get(Counter, "frames", with_for_update=True)
    await set_counter(impatient, 1)
    await impatient.close()


async def test_more_transactions_than_connections_wait_their_turn_and_then_are_unavailable(
    database_url,
):
    small = Database(database_url, pool_size=1, patience_s=0.2)
    async with AsyncExitStack() as readers:
        with pytest.raises(Unavailable):  # noqa: PT012 - which of them is one too many is its matter
            for _ in range(20):
                await readers.enter_async_context(small.reading())
    await small.ping()
    await small.close()


async def test_a_file_that_cannot_be_opened_is_unavailable(tmp_path):
    database = Database(f"sqlite+aiosqlite:///{tmp_path}")
    with pytest.raises(Unavailable):
        await database.ping()
    await database.close()
    await until(no_driver_works)


@pytest.mark.postgres
async def test_a_server_that_goes_and_comes_back_is_unavailable_meanwhile(
    postgres_server, postgres_database
):
    database = Database(postgres_database)
    await database.ping()
    postgres_server.stop()
    try:
        with pytest.raises(Unavailable):
            await database.ping()
        strangers = Database(postgres_database)
        with pytest.raises(Unavailable):
            await strangers.ping()
        await strangers.close()
    finally:
        postgres_server.start()
    await database.ping()
    await database.close()


@pytest.mark.postgres
async def test_a_connection_that_is_cut_in_mid_transaction_is_unavailable(postgres_database):
    database = Database(postgres_database)

    async def be_cut_off():
        async with database.writing() as session:
            me = await session.scalar(select(func.pg_backend_pid()))
            async with database.reading() as other:
                await other.execute(select(func.pg_terminate_backend(me)))
            await session.execute(text("SELECT 1"))

    with pytest.raises(Unavailable):
        await be_cut_off()
    await database.ping()
    await database.close()


@pytest.mark.postgres
async def test_the_victim_of_a_deadlock_may_try_again(postgres_database):
    database = Database(postgres_database)
    await make_tables(database)
    async with database.writing() as session:
        session.add_all([Counter(name="a", value=0), Counter(name="b", value=0)])
    both_hold_one = asyncio.Barrier(2)

    async def lock(first, second):
        async with database.writing() as session:
            await session.get(Counter, first, with_for_update=True)
            await both_hold_one.wait()
            await session.get(Counter, second, with_for_update=True)

    ends = await asyncio.gather(lock("a", "b"), lock("b", "a"), return_exceptions=True)
    assert sorted(type(end).__name__ for end in ends) == ["NoneType", "Unavailable"]
    await database.close()


async def test_a_schema_that_is_not_there_yet_is_unavailable(database):
    for statement in ("SELECT * FROM tomorrow", "SELECT tomorrow FROM counters"):
        with pytest.raises(Unavailable):
            async with database.reading() as session:
                await session.execute(text(statement))


async def test_a_statement_that_is_wrong_is_not_waited_for(database):
    with pytest.raises(SQLAlchemyError):
        async with database.reading() as session:
            await session.execute(text("SELEKT 1"))
    await set_counter(database, 0)
    with pytest.raises(IntegrityError):
        async with database.writing() as session:
            session.add(Counter(name="frames", value=1))


async def test_what_the_body_of_a_transaction_lacks_is_not_the_database(database, tmp_path):
    with pytest.raises(FileNotFoundError):
        async with database.reading():
            (tmp_path / "absent").read_bytes()


# Migrations


@pytest.fixture
def migrations(tmp_path):
    """Three revisions, slow enough for processes to meet."""
    folder = tmp_path / "migrations"
    (folder / "versions").mkdir(parents=True)
    (folder / "env.py").write_text(
        dedent("""
            from sqlalchemy import MetaData
            from shared.migrating import run_migrations
            run_migrations(MetaData())
        """)
    )
    for number, upgrade in enumerate(
        (
            "op.create_table('cars', sa.Column('id', sa.Integer, primary_key=True))",
            "time.sleep(0.2); op.add_column('cars', sa.Column('colour', sa.String(16)))",
            "op.execute(\"INSERT INTO cars (id, colour) VALUES (1, 'red')\")",
        )
    ):
        add_revision(folder, number, upgrade)
    return folder


def add_revision(folder, number, upgrade):
    (folder / "versions" / f"{number}.py").write_text(
        dedent(f"""
            import time
            import sqlalchemy as sa
            from alembic import op
            revision = "{number}"
            down_revision = {str(number - 1) if number else None!r}
            def upgrade():
                {upgrade}
        """)
    )


async def cars(database) -> list[str]:
    async with database.reading() as session:
        return list(await session.scalars(text("SELECT colour FROM cars")))


async def test_several_processes_that_start_at_once_migrate_once(empty_url, migrations):
    database = Database(empty_url)
    assert await database.pending_migrations(migrations)
    starting = [start(migrate, empty_url, migrations) for _ in range(4)]
    assert [await end_of(process) for process in starting] == [0, 0, 0, 0]
    assert not await database.pending_migrations(migrations)
    assert await cars(database) == ["red"]
    await database.close()


async def test_a_migration_that_fails_leaves_nothing_and_holds_up_nobody(empty_url, migrations):
    database, other = Database(empty_url), Database(empty_url)
    add_revision(migrations, 3, 'op.execute("INSERT INTO cars (id) VALUES (2)"); 1 / 0')
    with pytest.raises(ZeroDivisionError):
        await database.migrate(migrations)
    with pytest.raises(Unavailable):
        await cars(database)
    add_revision(migrations, 3, 'op.execute("INSERT INTO cars (id) VALUES (3)")')
    await asyncio.wait_for(other.migrate(migrations), 20)
    assert await cars(database) == ["red", None]
    await database.close()
    await other.close()


async def test_a_schema_is_watched_until_it_is_new_enough(empty_url, migrations, vital):
    database = Database(empty_url)
    watching = asyncio.create_task(watch_schema(database, migrations, vital, every_s=0.02))
    await until(lambda: "older than the code" in (vital.reason or ""))
    await database.migrate(migrations)
    await until(lambda: vital.reason is None)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await database.close()


async def test_foreign_keys_hold_on_sqlite_too(sqlite):
    async with sqlite.writing() as session:
        await session.execute(text("CREATE TABLE owner (id INTEGER PRIMARY KEY)"))
        await session.execute(
            text("CREATE TABLE car (id INTEGER PRIMARY KEY, owner INTEGER REFERENCES owner (id))")
        )
    with pytest.raises(IntegrityError):
        async with sqlite.writing() as session:
            await session.execute(text("INSERT INTO car VALUES (1, 7)"))


async def test_another_program_may_read_the_file_meanwhile(sqlite, tmp_path):
    await set_counter(sqlite, 5)
    async with sqlite.writing() as session:
        (await session.get_one(Counter, "frames")).value = 6
        await session.flush()
        with sqlite3.connect(tmp_path / "floor.db") as other:
            assert other.execute("SELECT value FROM counters").fetchall() == [(5,)]
        other.close()
