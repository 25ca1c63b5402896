"""What dead processes have left goes; what is whole, or at work, stays."""

from __future__ import annotations

import asyncio
import os
import time

import pytest

from services.synthetic.shelf import Shelf
from services.synthetic.sweeping import LEFT_AFTER_S, Sweeper
from services.synthetic.tables import JobRow
from shared.data_folder import MANIFEST
from shared.database import Database
from shared.health import Vital
from shared.jobs import JobState
from tests.unit.synthetic.studio import letters, running_studio


@pytest.fixture
async def studio(bus, redis_server, tmp_path):
    async with running_studio(bus, redis_server, tmp_path) as studio:
        yield studio


@pytest.fixture
async def database(studio):
    database = Database(studio.settings.database_of("synthetic"))
    yield database
    await database.close()


@pytest.fixture
def sweeper(studio, database) -> Sweeper:
    return Sweeper(Shelf(studio.datasets), studio.settings.jobs_folder, database)


def written(*files) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")


def aged(path) -> None:
    """As if nothing had changed in it for over a day."""
    old = time.time() - LEFT_AFTER_S - 60
    for one in (path, *path.rglob("*")):
        os.utime(one, (old, old))


async def test_what_was_left_a_day_ago_goes_and_all_else_stays(studio, sweeper):
    kept = (await studio.send(letters(), key="k")).json()["id"]
    shelf = studio.datasets
    written(shelf / ".upload-1", shelf / ".new-1/images/a/1.png", shelf / ".gone-1/manifest.json")
    for path in shelf.iterdir():
        aged(path)
    written(shelf / ".upload-2", shelf / ".new-2/images/1.png")
    aged(shelf / ".new-2")
    written(shelf / ".new-2/images/2.png")  # deep in an old draft something comes in
    await sweeper.sweep()
    assert {path.name for path in shelf.iterdir()} == {".keys", kept, ".upload-2", ".new-2"}
    assert (await studio.send(letters(), key="k")).json()["id"] == kept


async def test_a_cancelled_job_leaves_its_losses_and_what_is_whole(studio, sweeper, database):
    rows = [await studio.jobs.create("city.render", {"seed": n}) for n in range(2)]
    folders = [studio.settings.jobs_folder / row.id for row in rows]
    for folder in folders:
        written(folder / "work/checkpoint.pt", folder / "work/log.jsonl", folder / "sheet.png")
        written(folder / "dataset/frames/1.jpg", folder / "whole" / MANIFEST)
    nobodys = studio.settings.jobs_folder / ("0" * 26) / "work" / "checkpoint.pt"
    written(nobodys)
    await studio.jobs.cancel(rows[0].id)
    async with database.writing() as session:
        at_work = await session.get_one(JobRow, rows[1].id, with_for_update=True)
        at_work.state = JobState.RUNNING
    await sweeper.sweep()
    assert names(folders[0]) == ["log.jsonl", "sheet.png", "whole"]
    assert names(folders[1]) == ["dataset", "sheet.png", "whole", "work"]
    assert nobodys.exists()


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_where_nothing_was_ever_made_there_is_nothing_to_sweep(studio, sweeper):
    await sweeper.sweep()
    assert not studio.datasets.exists()


async def test_nobody_has_to_wait_for_the_sweeper(sweeper):
    vital = Vital("sweeper")
    sweeping = asyncio.create_task(sweeper.run(vital))
    await asyncio.sleep(0)
    assert vital.reason is None
    sweeping.cancel()
