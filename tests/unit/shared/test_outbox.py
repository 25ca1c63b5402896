from __future__ import annotations

import asyncio
import random

import pytest
from redis.exceptions import ResponseError
from sqlalchemy import delete, insert, select, text
from sqlalchemy.exc import DBAPIError

from shared.bus import Bus
from shared.database import Database
from shared.errors import LeaseLost
from shared.health import Vital
from shared.leases import Leadership, Lease
from shared.messages import JobWaiting
from shared.outbox import MAX_UNREAD, Relay, announce
from shared.topics import EVENTS, SIGHTINGS, Topic
from tests.unit.shared.floor import (
    LeaseRow,
    Origin,
    Outbox,
    end_of,
    make_tables,
    on_sqlite,
    start,
    until,
)
from tests.unit.shared.programs import relay as relay_for_ever


def make_relay(database, bus, topic=EVENTS, vital=None) -> Relay:
    vital = vital or Vital("relay")
    return Relay(database, bus, topic, outbox=Outbox, origin=Origin, vital=vital)


@pytest.fixture
async def lease(database):
    async with database.writing() as session:
        session.add(LeaseRow(name="relay", holder="test", epoch=1, expires_us=0))
    return Lease(LeaseRow, "relay", 1)


@pytest.fixture
def relay(database, bus):
    return make_relay(database, bus)


async def commit(database, *numbers: int, topic=EVENTS, partition=0):
    """One transaction, whose effect is told by one message for each number."""
    async with database.writing() as session:
        for n in numbers:
            announce(session, Outbox, topic, JobWaiting(job_id=str(n)), partition)


async def published(bus, topic=EVENTS, partition=0) -> list[int]:
    entries = await bus.redis.xrange(topic.key(partition))
    return [int(JobWaiting.unpack(fields[b"body"]).job_id) for _, fields in entries]


async def waiting(database) -> int:
    async with database.reading() as session:
        return len(list(await session.scalars(select(Outbox.id))))


async def run_until(relay, lease, condition) -> None:
    """Runs the relay as its leader does, until something has come true."""
    running = asyncio.create_task(relay.run(lease, idle_s=0.02))
    try:
        await until(condition)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_what_was_committed_is_published_once_and_in_order(database, bus, relay, lease):
    for n in range(0, 30, 3):
        await commit(database, n, n + 1, n + 2)
    assert await relay.relay_once(lease, limit=20) == 20
    assert await relay.relay_once(lease, limit=20) == 10
    assert await relay.relay_once(lease) == 0
    assert await published(bus) == list(range(30))
    assert await waiting(database) == 0


@on_sqlite
async def test_what_was_rolled_back_is_never_told(database, bus, relay, lease):
    async def fail():
        async with database.writing() as session:
            announce(session, Outbox, EVENTS, JobWaiting(job_id="1"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    await commit(database, 2)
    await relay.relay_once(lease)
    assert await published(bus) == [2]


@on_sqlite
async def test_a_relay_is_woken_by_a_commit(database, bus, relay, lease):
    running = asyncio.create_task(relay.run(lease, idle_s=60))
    for n in range(3):
        await commit(database, n)
        relay.wake()
        await until(lambda n=n: _has(bus, n + 1))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def _has(bus, count) -> bool:
    return len(await published(bus)) == count


async def test_a_relay_that_is_woken_and_cancelled_at_once_ends(sqlite, bus):
    async with sqlite.writing() as session:
        session.add(LeaseRow(name="relay", holder="test", epoch=1, expires_us=0))
    relay = make_relay(sqlite, bus)
    for ticks in range(4):
        running = asyncio.create_task(relay.run(Lease(LeaseRow, "relay", 1), idle_s=60))
        await asyncio.sleep(0.1)
        relay.wake()
        for _ in range(ticks):
            await asyncio.sleep(0)
        running.cancel()
        done, _ = await asyncio.wait([running], timeout=20)
        assert done, "the cancellation was swallowed"


async def test_a_crash_between_position_and_publication_loses_nothing(database, bus, relay, lease):
    await commit(database, 1, 2, 3)
    await bus.redis.set(EVENTS.key(), "in the way")
    with pytest.raises(ResponseError):
        await relay.relay_once(lease)
    await bus.redis.delete(EVENTS.key())
    await commit(database, 4)
    await make_relay(database, bus).relay_once(lease)
    assert await published(bus) == [1, 2, 3, 4]
    assert await waiting(database) == 0


async def test_a_crash_between_publication_and_deletion_doubles_nothing(sqlite, bus):
    async with sqlite.writing() as session:
        session.add(LeaseRow(name="relay", holder="test", epoch=1, expires_us=0))
        await session.execute(
            text("CREATE TRIGGER crash BEFORE DELETE ON outbox BEGIN SELECT RAISE(ABORT, 'x'); END")
        )
    lease = Lease(LeaseRow, "relay", 1)
    await commit(sqlite, 1, 2, 3)
    with pytest.raises(DBAPIError):
        await make_relay(sqlite, bus).relay_once(lease)
    assert await published(bus) == [1, 2, 3]
    async with sqlite.writing() as session:
        await session.execute(text("DROP TRIGGER crash"))
    await commit(sqlite, 4)
    await make_relay(sqlite, bus).relay_once(lease)
    assert await published(bus) == [1, 2, 3, 4]
    assert await waiting(sqlite) == 0


async def test_relays_that_are_killed_anywhere_lose_nothing_and_double_nothing(
    database, database_url, bus, redis_server
):
    chance, total = random.Random(3), 0
    for _ in range(3):
        process = start(relay_for_ever, database_url, redis_server.url)
        for _ in range(chance.randint(20, 60)):
            await commit(database, total)
            total += 1
        await until(lambda least=total // 2: _has_at_least(bus, least))
        process.kill()
        await end_of(process)
    last = make_relay(database, bus)
    leadership = Leadership(database, LeaseRow, "relay", Vital("relay"), 1.0)
    running = asyncio.create_task(leadership.run(last.run))
    await until(lambda: _has_at_least(bus, total))
    await until(lambda: _nothing_waits(database))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert await published(bus) == list(range(total))


async def _has_at_least(bus, count) -> bool:
    return len(await published(bus)) >= count


async def _nothing_waits(database) -> bool:
    return await waiting(database) == 0


async def test_of_two_relays_the_superseded_one_publishes_nothing(database, bus, lease):
    old, new = make_relay(database, bus), make_relay(database, bus)
    await commit(database, 1, 2)
    await old.relay_once(lease)
    async with database.writing() as session:
        (await session.get_one(LeaseRow, "relay", with_for_update=True)).epoch = 2
    await commit(database, 3, 4)
    with pytest.raises(LeaseLost):
        await old.relay_once(lease)
    assert await published(bus) == [1, 2]
    await new.relay_once(Lease(LeaseRow, "relay", 2))
    assert await published(bus) == [1, 2, 3, 4]


async def test_a_redis_that_goes_and_comes_back_delays_and_loses_nothing(sqlite, own_redis, vital):
    bus = Bus(own_redis.url)
    async with sqlite.writing() as session:
        session.add(LeaseRow(name="relay", holder="test", epoch=1, expires_us=0))
    relay = make_relay(sqlite, bus, vital=vital)
    running = asyncio.create_task(relay.run(Lease(LeaseRow, "relay", 1), idle_s=0.02))
    await commit(sqlite, 1)
    await until(lambda: _has(bus, 1))
    own_redis.stop()
    await commit(sqlite, 2)
    await until(lambda: vital.reason is not None)
    own_redis.start()
    await until(lambda: _has(bus, 2))
    await until(lambda: vital.reason is None)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert await published(bus) == [1, 2]
    await bus.close()


# A database that was restored from a backup knows less than the stream.


async def backup(database) -> dict:
    async with database.reading() as session:
        return {
            table: [
                dict(row) for row in (await session.execute(select(table.__table__))).mappings()
            ]
            for table in (Outbox, Origin)
        }


async def restore(database, copy) -> None:
    async with database.writing() as session:
        for table, rows in copy.items():
            await session.execute(delete(table))
            if rows:
                await session.execute(insert(table), rows)


async def test_a_restored_database_goes_on_behind_what_was_published(database, bus, relay, lease):
    await commit(database, 1, 2)
    await relay.relay_once(lease)
    copy = await backup(database)
    await commit(database, 3, 4)
    await relay.relay_once(lease)
    await restore(database, copy)
    await commit(database, 5, 6)
    await run_until(make_relay(database, bus), lease, lambda: _nothing_waits(database))
    assert await published(bus) == [1, 2, 3, 4, 5, 6]


async def test_what_a_backup_caught_in_mid_publication_is_neither_lost_nor_doubled(
    database, bus, relay, lease
):
    await commit(database, 1, 2, 3)
    await bus.redis.set(EVENTS.key(), "in the way")
    with pytest.raises(ResponseError):
        await relay.relay_once(lease)
    copy = await backup(database)
    await bus.redis.delete(EVENTS.key())
    await relay.relay_once(lease)
    await commit(database, 4)
    await relay.relay_once(lease)
    await restore(database, copy)
    await commit(database, 5, 6)
    await run_until(make_relay(database, bus), lease, lambda: _nothing_waits(database))
    assert await published(bus) == [1, 2, 3, 4, 5, 6]


@on_sqlite
async def test_each_partition_is_told_what_it_has_not_heard(database, redis_server, lease):
    bus = Bus(redis_server.url, partitions=2)
    await bus.redis.flushall()
    topic = Topic("told.v1", fuse=1_000)
    relay = make_relay(database, bus, topic)
    for n in range(6):
        await commit(database, n, topic=topic, partition=n % 2)
    await bus.redis.set(topic.key(1), "in the way")
    with pytest.raises(ResponseError):
        await relay.relay_once(lease)
    assert await published(bus, topic, 0) == [0]
    copy = await backup(database)
    # The original had published the rest of partition 0 when it was lost, and nothing of 1.
    await bus.redis.delete(topic.key(1))
    entry, _ = (await bus.redis.xrange(topic.key(0)))[0]
    born_ms = int(entry.split(b"-")[0])
    for n in (2, 4, 6):
        fields = {"body": JobWaiting(job_id=str(n)).pack()}
        await bus.redis.xadd(topic.key(0), fields, id=f"{born_ms}-{n + 1}")
    await restore(database, copy)
    await commit(database, 7, topic=topic, partition=1)
    await run_until(make_relay(database, bus, topic), lease, lambda: _nothing_waits(database))
    assert await published(bus, topic, 0) == [0, 2, 4, 6]
    assert await published(bus, topic, 1) == [1, 3, 5, 7]
    await bus.close()


@on_sqlite
async def test_a_bus_that_was_lost_is_filled_again(database, bus, relay, lease):
    await commit(database, 1, 2)
    await relay.relay_once(lease)
    await bus.redis.flushall()
    await commit(database, 3)
    await run_until(make_relay(database, bus), lease, lambda: _nothing_waits(database))
    assert await published(bus) == [3]


async def test_rows_wait_while_the_readers_lag(sqlite, bus, vital):
    async with sqlite.writing() as session:
        session.add(LeaseRow(name="relay", holder="test", epoch=1, expires_us=0))
    lease = Lease(LeaseRow, "relay", 1)
    await commit(sqlite, 7, topic=SIGHTINGS)
    async with bus.redis.pipeline(transaction=False) as pipe:
        for n in range(MAX_UNREAD):
            pipe.xadd(SIGHTINGS.key(), {"n": n}, id=f"0-{n + 1}")
        await pipe.execute()
    relay = make_relay(sqlite, bus, SIGHTINGS, vital)
    await run_until(relay, lease, lambda: "wait for their readers" in (vital.reason or ""))
    assert await waiting(sqlite) == 1
    assert vital.reason is not None
    await bus.redis.xtrim(SIGHTINGS.key(), maxlen=0, approximate=False)
    await run_until(relay, lease, lambda: vital.reason is None)
    assert await published(bus, SIGHTINGS) == [7]


@pytest.mark.postgres
async def test_a_row_that_commits_after_its_followers_is_published_after_them(
    postgres_database, bus
):
    database = Database(postgres_database)
    await make_tables(database)
    async with database.writing() as session:
        session.add(LeaseRow(name="relay", holder="test", epoch=1, expires_us=0))
    relay, lease = make_relay(database, bus), Lease(LeaseRow, "relay", 1)
    async with database.writing() as slow:
        announce(slow, Outbox, EVENTS, JobWaiting(job_id="1"))
        await slow.flush()
        await commit(database, 2)
        await relay.relay_once(lease)
        assert await published(bus) == [2]
    await relay.relay_once(lease)
    assert await published(bus) == [2, 1]
    await database.close()
