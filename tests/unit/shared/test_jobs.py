from __future__ import annotations

import asyncio
import os
import signal
import sys

import pytest
from pydantic import ValidationError

from shared import topics
from shared.bus import Bus
from shared.database import Database
from shared.errors import Conflict, Missing
from shared.job_worker import MOST_ATTEMPTS, JobWorker
from shared.jobs import JobQueue, JobState
from shared.jobs_api import Job as JobResource
from shared.messages import JobWaiting
from tests.unit.shared.floor import ROOT, Job, end_of, on_sqlite, start, until
from tests.unit.shared.programs import KINDS, do_job


@pytest.fixture
def queue(database, bus):
    return JobQueue("synthetic", database, Job, bus, KINDS)


@pytest.fixture
def worker(database, bus, vital):
    return JobWorker("synthetic", database, Job, bus, vital)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "jobs"


@on_sqlite
async def test_a_new_job_waits_and_wakes_a_worker(queue, bus):
    row = await queue.create("count", {"to": 3})
    assert JobResource.of(row).state is JobState.QUEUED
    assert JobResource.of(row) == JobResource.of(await queue.get(row.id))
    ((_, fields),) = await bus.redis.xrange(topics.jobs("synthetic").key())
    assert JobWaiting.unpack(fields[b"body"]).job_id == row.id


async def test_a_job_is_made_even_while_the_bus_is_away(sqlite, tmp_path):
    nowhere = Bus(f"unix://{tmp_path}/no.sock")
    queue = JobQueue("synthetic", sqlite, Job, nowhere, KINDS)
    row = await queue.create("count", {"to": 3})
    assert (await queue.get(row.id)).state == JobState.QUEUED
    await nowhere.close()


@on_sqlite
async def test_the_same_key_with_the_same_content_is_the_same_job(queue):
    first = await queue.create("count", {"to": 3}, "key")
    again = await queue.create("count", {"to": 3, "pause_s": 0.0}, "key")
    assert again.id == first.id
    assert len(await queue.newest(10, None)) == 1
    with pytest.raises(Conflict):
        await queue.create("count", {"to": 4}, "key")
    with pytest.raises(Conflict):
        await queue.create("fail", {"to": 3}, "key")
    assert (await queue.create("count", {"to": 3}, "other")).id != first.id
    assert (await queue.create("count", {"to": 3})).id != (
        await queue.create("count", {"to": 3})
    ).id


async def test_twins_that_are_made_at_once_are_one_job(queue):
    twins = await asyncio.gather(*(queue.create("count", {"to": 3}, "key") for _ in range(8)))
    assert len({twin.id for twin in twins}) == 1
    assert len(await queue.newest(10, None)) == 1


@on_sqlite
async def test_what_nobody_can_do_is_refused(queue):
    with pytest.raises(Missing, match="there are: count"):
        await queue.create("dance", {})
    with pytest.raises(ValidationError):
        await queue.create("count", {"to": -1})
    with pytest.raises(Missing):
        await queue.get("no such job")
    with pytest.raises(Missing):
        await queue.cancel("no such job")
    assert await queue.newest(10, None) == []


async def test_jobs_are_claimed_in_their_order_and_once(queue, worker):
    rows = [await queue.create("count", {"to": n}) for n in range(4)]
    claimed = [await worker.claim(), *await asyncio.gather(*(worker.claim() for _ in range(5)))]
    assert claimed[0] == (rows[0].id, 1)
    assert sorted(c for c in claimed if c) == [(row.id, 1) for row in rows]
    assert claimed.count(None) == 2


@on_sqlite
async def test_a_worker_leaves_alone_what_it_cannot_do(queue, database, bus, vital):
    fails, counts = await queue.create("fail", {"to": 3}), await queue.create("count", {"to": 3})
    counter = JobWorker("synthetic", database, Job, bus, vital, kinds={"count"})
    assert await counter.claim() == (counts.id, 1)
    assert await counter.claim() is None
    assert [row.id for row in await queue.newest(10, None, "fail")] == [fails.id]


async def test_a_job_whose_lease_has_run_out_is_claimed_again(queue, worker, database):
    row = await queue.create("count", {"to": 3})
    assert await worker.claim() == (row.id, 1)
    assert await worker.claim() is None
    await run_out_the_lease(database, row.id)
    assert await worker.claim() == (row.id, 2)
    assert (await queue.get(row.id)).attempts == 2


async def run_out_the_lease(database, job_id) -> None:
    async with database.writing() as session:
        (await session.get_one(Job, job_id, with_for_update=True)).lease_expires_us = 0


async def test_a_job_whose_processes_die_is_given_up_and_holds_up_no_other(queue, worker, database):
    deadly, other = [await queue.create("count", {"to": n}) for n in (3, 4)]
    for attempt in range(1, MOST_ATTEMPTS + 1):
        assert await worker.claim() == (deadly.id, attempt)
        await run_out_the_lease(database, deadly.id)
    assert await worker.claim() == (other.id, 1)
    row = await queue.get(deadly.id)
    assert (row.state, row.attempts, row.lease_expires_us) == (JobState.FAILED, MOST_ATTEMPTS, None)
    assert f"died {MOST_ATTEMPTS} times" in row.error
    assert row.finished_us is not None


@on_sqlite
async def test_a_job_whose_process_has_died_can_be_cancelled(queue, worker, database):
    asked, late = [await queue.create("count", {"to": n}) for n in (3, 4)]
    await worker.claim()
    await worker.claim()
    assert (await queue.cancel(asked.id)).state == JobState.RUNNING, "its process may live"
    await run_out_the_lease(database, asked.id)
    await run_out_the_lease(database, late.id)
    assert (await queue.cancel(late.id)).state == JobState.CANCELLED
    assert await worker.claim() is None
    row = await queue.get(asked.id)
    assert (row.state, row.error) == (JobState.CANCELLED, None)
    assert row.finished_us is not None


@on_sqlite
async def test_a_job_that_has_not_begun_is_cancelled_at_once(queue, worker):
    row = await queue.create("count", {"to": 3})
    assert (await queue.cancel(row.id)).state == JobState.CANCELLED
    assert (await queue.cancel(row.id)).state == JobState.CANCELLED
    assert await worker.claim() is None


# The process of one job


@pytest.fixture
def begin(queue, worker, database_url, folder):
    """Creates a job, claims it and starts its process."""

    async def beginning(kind, **params):
        row = await queue.create(kind, {"to": 5} | params)
        return row.id, await begin_again(row.id)

    async def begin_again(job_id):
        claimed, epoch = await worker.claim()
        assert claimed == job_id
        return start(do_job, database_url, str(folder), job_id, str(epoch))

    beginning.again = begin_again
    return beginning


async def is_under_way(queue, job_id) -> bool:
    return (await queue.get(job_id)).progress > 0


def said(folder, job_id) -> list[int]:
    return [int(line.split()[0]) for line in (folder / job_id / "log").read_text().splitlines()]


async def test_a_job_is_done_and_its_result_kept(queue, begin, folder):
    job_id, process = await begin("count")
    assert await end_of(process) == 0
    row = await queue.get(job_id)
    assert (row.state, row.progress, row.result) == (JobState.SUCCEEDED, 1.0, {"count": 5})
    assert row.started_us <= row.finished_us
    assert said(folder, job_id) == [0, 1, 2, 3, 4]
    assert (await queue.cancel(job_id)).state == JobState.SUCCEEDED, "too late"


@on_sqlite
async def test_a_job_tells_how_far_it_is_and_stops_when_it_is_cancelled(queue, begin, folder):
    job_id, process = await begin("count", to=10_000, pause_s=0.01)
    await until(lambda: is_under_way(queue, job_id))
    row = await queue.get(job_id)
    assert 0 < row.progress < 1
    assert row.note.startswith("said ")
    assert (await queue.cancel(job_id)).state == JobState.RUNNING
    assert await end_of(process) == 0
    assert (await queue.get(job_id)).state == JobState.CANCELLED
    assert len(said(folder, job_id)) < 10_000


@on_sqlite
@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("fail", "ValueError: cannot count to 5"),
        ("run_out", "RuntimeError: the job ran out of something to iterate over"),
        ("measure_nothing", "ValueError: Out of range float values are not JSON compliant"),
    ],
)
async def test_a_job_that_fails_says_why(queue, begin, kind, error):
    job_id, process = await begin(kind)
    assert await end_of(process) == 0
    row = await queue.get(job_id)
    assert row.state == JobState.FAILED
    assert row.error.startswith(error)


@on_sqlite
@pytest.mark.parametrize("change", [{"kind": "dance"}, {"params": {"to": "the end"}}])
async def test_a_job_that_the_new_version_cannot_do_fails_once(queue, begin, database, change):
    job_id, process = await begin("count", to=10_000, pause_s=0.01)
    await until(lambda: is_under_way(queue, job_id))
    process.kill()
    await end_of(process)
    async with database.writing() as session:
        row = await session.get_one(Job, job_id, with_for_update=True)
        row.lease_expires_us = 0
        for column, value in change.items():
            setattr(row, column, value)
    assert await end_of(await begin.again(job_id)) == 0
    assert (await queue.get(job_id)).state == JobState.FAILED


async def test_a_job_whose_process_is_killed_is_resumed_by_another(queue, begin, database, folder):
    job_id, process = await begin("count", to=60, pause_s=0.02)
    await until(lambda: is_under_way(queue, job_id))
    process.kill()
    await end_of(process)
    before = said(folder, job_id)
    await run_out_the_lease(database, job_id)
    assert await end_of(await begin.again(job_id)) == 0
    row = await queue.get(job_id)
    assert (row.state, row.attempts) == (JobState.SUCCEEDED, 2)
    assert said(folder, job_id) == list(range(60)), "nothing is said twice"
    assert 0 < len(before) < 60


@on_sqlite
async def test_a_process_that_is_told_to_stop_leaves_its_job_to_the_next(queue, begin, folder):
    job_id, process = await begin("count", to=60, pause_s=0.02)
    await until(lambda: is_under_way(queue, job_id))
    process.terminate()
    assert await end_of(process) == 0
    row = await queue.get(job_id)
    assert (row.state, row.attempts) == (JobState.QUEUED, 0), "it did not die"
    assert await end_of(await begin.again(job_id)) == 0
    assert (await queue.get(job_id)).state == JobState.SUCCEEDED
    assert said(folder, job_id) == list(range(60))


async def test_a_process_that_was_paused_cannot_write_when_it_wakes(queue, begin, database):
    job_id, sleeper = await begin("count", to=5, pause_s=0.3)
    await until(lambda: is_under_way(queue, job_id))
    await asyncio.sleep(0.1)
    os.kill(sleeper.pid, signal.SIGSTOP)
    await run_out_the_lease(database, job_id)
    assert await end_of(await begin.again(job_id)) == 0
    done = JobResource.of(await queue.get(job_id))
    os.kill(sleeper.pid, signal.SIGCONT)
    assert await end_of(sleeper) != 0, "it has lost its lease"
    assert JobResource.of(await queue.get(job_id)) == done
    assert done.state is JobState.SUCCEEDED


@on_sqlite
async def test_a_superseded_process_does_not_even_begin(queue, begin, database_url, folder):
    job_id, process = await begin("count")
    assert await end_of(process) == 0
    late = start(do_job, database_url, str(folder), job_id, "0")
    assert await end_of(late) != 0
    assert said(folder, job_id) == [0, 1, 2, 3, 4]


@on_sqlite
async def test_a_database_that_is_locked_for_a_while_costs_no_work(queue, begin, database):
    job_id, process = await begin("count", to=60, pause_s=0.02)
    await until(lambda: is_under_way(queue, job_id))
    async with database.writing() as session:
        await session.get_one(Job, job_id, with_for_update=True)
        await asyncio.sleep(1.5)
    assert await end_of(process) == 0
    row = await queue.get(job_id)
    assert (row.state, row.attempts) == (JobState.SUCCEEDED, 1)


# The worker


@pytest.fixture
def start_worker(sqlite, bus, vital, folder, sqlite_url):
    code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from tests.unit.shared.programs import do_job
do_job(*sys.argv[1:])
"""
    command = (sys.executable, "-c", code, sqlite_url, str(folder))

    def starting():
        worker = JobWorker("synthetic", sqlite, Job, bus, vital, command=command)
        return asyncio.create_task(worker.run())

    return starting


async def stop(task) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_worker_starts_jobs_and_resumes_what_it_was_stopped_at(
    sqlite, bus, folder, start_worker
):
    queue = JobQueue("synthetic", sqlite, Job, bus, KINDS)
    row = await queue.create("count", {"to": 150, "pause_s": 0.02})
    worker = start_worker()
    await until(lambda: is_under_way(queue, row.id), within_s=60)
    await stop(worker)
    assert (await queue.get(row.id)).state == JobState.QUEUED
    worker = start_worker()
    await until(lambda: _is_done(queue, row.id), within_s=60)
    await stop(worker)
    assert said(folder, row.id) == list(range(150))


async def _is_done(queue, job_id) -> bool:
    return (await queue.get(job_id)).state == JobState.SUCCEEDED


async def test_a_job_that_does_not_listen_does_not_hold_up_the_end(
    sqlite, bus, folder, start_worker, monkeypatch
):
    monkeypatch.setattr("shared.job_worker.STOP_S", 0.3)
    queue = JobQueue("synthetic", sqlite, Job, bus, KINDS)
    row = await queue.create("ignore_everything", {"to": 1})
    worker = start_worker()
    await until((folder / row.id / "log").exists, within_s=60)
    await asyncio.wait_for(stop(worker), 20)
    assert (await queue.get(row.id)).state == JobState.RUNNING, "its lease has to run out"


async def test_a_worker_without_a_database_is_ailing_and_goes_on(sqlite_url, bus, vital, tmp_path):
    nowhere = Database(f"sqlite+aiosqlite:///{tmp_path}")
    working = asyncio.create_task(JobWorker("synthetic", nowhere, Job, bus, vital).run())
    await until(lambda: "database" in (vital.reason or ""))
    assert not working.done()
    await stop(working)
    await nowhere.close()
