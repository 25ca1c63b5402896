from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from sqlalchemy import select

from shared.clock import SECOND_US, now_us
from shared.database import Database
from shared.errors import LeaseLost, Unavailable
from shared.health import Vital
from shared.leases import Leadership, Lease
from tests.unit.shared.floor import LeaseRow, Note, end_of, log_keeper, start, until
from tests.unit.shared.programs import keep_log

TTL_S = 1.0


def compete(database, holder, *, vital=None, ttl_s=TTL_S) -> Leadership:
    return Leadership(database, LeaseRow, "log", vital or Vital(holder), ttl_s, holder)


@asynccontextmanager
async def competing(database, holder, work=None, *, ttl_s=TTL_S):
    leadership = compete(database, holder, ttl_s=ttl_s)
    task = asyncio.create_task(leadership.run(work or log_keeper(database, holder)))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def log_of(database) -> list[tuple[str, int]]:
    async with database.reading() as session:
        return [
            (note.writer, note.epoch)
            for note in await session.scalars(select(Note).order_by(Note.id))
        ]


async def writes(database, writer) -> bool:
    entries = await log_of(database)
    return bool(entries) and entries[-1][0] == writer


def handovers(entries: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """The log without its repetitions: each term of office once."""
    return [entry for n, entry in enumerate(entries) if n == 0 or entry != entries[n - 1]]


async def test_of_many_that_start_at_once_one_leads_and_the_others_wait(database):
    leading: list[str] = []

    async def lead(lease):
        leading.append(str(lease.epoch))
        await asyncio.Event().wait()

    async with AsyncExitStack() as stack:
        competitors = [
            await stack.enter_async_context(competing(database, f"w{n}", lead)) for n in range(8)
        ]
        await until(lambda: leading)
        await asyncio.sleep(0.3)
        assert leading == ["1"]
        assert not any(competitor.done() for competitor in competitors), "losing is no error"


async def test_a_standby_takes_over_when_the_leader_goes(database):
    async with competing(database, "first") as first:
        await until(lambda: writes(database, "first"))
        async with competing(database, "second"):
            first.cancel()
            await until(lambda: writes(database, "second"))
    assert handovers(await log_of(database)) == [("first", 1), ("second", 2)]


async def test_a_standby_takes_over_when_the_leader_is_killed(database, database_url):
    leader = start(keep_log, database_url, "first", TTL_S)
    await until(lambda: writes(database, "first"))
    async with competing(database, "second"):
        leader.kill()
        await end_of(leader)
        await until(lambda: writes(database, "second"))
    assert handovers(await log_of(database)) == [("first", 1), ("second", 2)]


async def test_a_leader_that_was_paused_writes_nothing_when_it_wakes(database, database_url):
    sleeper = start(keep_log, database_url, "sleeper", TTL_S)
    await until(lambda: writes(database, "sleeper"))
    await _pause_between_transactions(sleeper, database_url)
    async with competing(database, "second"):
        await until(lambda: writes(database, "second"))
        os.kill(sleeper.pid, signal.SIGCONT)
        await asyncio.sleep(TTL_S)
        assert await writes(database, "second")
    await until(lambda: writes(database, "sleeper"))
    sleeper.kill()
    await end_of(sleeper)
    assert handovers(await log_of(database)) == [("sleeper", 1), ("second", 2), ("sleeper", 3)]


async def _pause_between_transactions(process, database_url) -> None:
    """A process that sleeps with a lock in its hand would hold up everyone, lease or no lease."""
    probe = Database(database_url, patience_s=0.1)
    while True:
        os.kill(process.pid, signal.SIGSTOP)
        try:
            async with probe.writing() as session:
                await session.get(LeaseRow, "log", with_for_update=True)
        except Unavailable:
            os.kill(process.pid, signal.SIGCONT)
            await asyncio.sleep(0.005)
        else:
            break
    await probe.close()


async def test_a_leader_that_renews_is_not_superseded(sqlite):
    async with competing(sqlite, "first", ttl_s=2 * TTL_S):
        await until(lambda: writes(sqlite, "first"))
        async with competing(sqlite, "second"):
            await asyncio.sleep(3 * TTL_S)
    assert handovers(await log_of(sqlite)) == [("first", 1)]


async def test_who_holds_an_older_epoch_cannot_write(database):
    async with database.writing() as session:
        session.add(LeaseRow(name="log", holder="new", epoch=2, expires_us=0))
    for epoch, name in ((1, "log"), (3, "log"), (1, "no such lease")):
        with pytest.raises(LeaseLost):
            async with database.writing() as session:
                await Lease(LeaseRow, name, epoch).check(session)
    async with database.writing() as session:
        await Lease(LeaseRow, "log", 2).check(session)


@pytest.mark.parametrize("fault", [LeaseLost("gone"), Unavailable("away")], ids=["lost", "away"])
async def test_a_leader_whose_work_was_interrupted_competes_again(sqlite, fault):
    epochs: list[int] = []

    async def stumble(lease):
        epochs.append(lease.epoch)
        if len(epochs) == 1:
            raise fault
        await asyncio.Event().wait()

    async with competing(sqlite, "only", stumble):
        await until(lambda: epochs == [1, 2])


async def test_an_error_in_the_work_is_told_and_the_lease_is_free_at_once(sqlite):
    async def break_down(_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await compete(sqlite, "first", ttl_s=600).run(break_down)
    async with competing(sqlite, "second"):
        await until(lambda: writes(sqlite, "second"))


async def test_the_work_has_ended_before_the_lease_is_given_back(sqlite):
    ends: list[str] = []

    async def tidy_up(_):
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.2)
            async with sqlite.reading() as session:
                expires_us = (await session.get_one(LeaseRow, "log")).expires_us
            ends.append("held" if expires_us > now_us() else "free")

    async with competing(sqlite, "first", tidy_up):
        await until(lambda: _is_held(sqlite))
    assert ends == ["held"]
    assert not await _is_held(sqlite)


async def _is_held(database) -> bool:
    async with database.reading() as session:
        row = await session.get(LeaseRow, "log")
    return row is not None and row.expires_us > now_us() - SECOND_US


async def test_a_standby_is_well_and_one_without_a_database_is_not(sqlite, tmp_path):
    async with competing(sqlite, "first"):
        await until(lambda: writes(sqlite, "first"))
        standby, lost = Vital("standby"), Vital("lost")
        nowhere = Database(f"sqlite+aiosqlite:///{tmp_path}")
        waiting = [
            asyncio.create_task(compete(sqlite, "second", vital=standby).run(_never)),
            asyncio.create_task(compete(nowhere, "third", vital=lost).run(_never)),
        ]
        await until(lambda: standby.reason is None)
        await until(lambda: "database" in lost.reason)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await nowhere.close()


async def _never(_):
    raise AssertionError("a standby does not work")
