"""One call leads from a camera's crops to a contest: stage by stage, each begun once."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from services.gateway.core.adaptation import JOB_KINDS, Stage, progress_at, stages_of
from services.gateway.store.adaptation_tables import AdaptationRow
from services.synthetic.app import KINDS as STUDIO_KINDS
from services.synthetic.app import WITHOUT_TORCH
from services.synthetic.shelf import Shelf
from services.synthetic.tables import JobRow as StudioJobRow
from shared.database import Database
from shared.jobs import JobState
from tests.unit.gateway.test_adaptations import ASKED, URL, only_job, say, trainer
from tests.unit.gateway.test_trainings import serving
from tests.unit.synthetic.studio import running_studio, write_data

__all__ = ["trainer"]

LABELLED = ASKED["labelled"]
STYLE = {"cameras": ["gate", "c2"], "steps": 7, "crops": 50, "live_crops": 20}
CHAIN = {key: value for key, value in ASKED.items() if key != "made"} | {"style": STYLE, "seed": 5}


class Factory:
    """A gateway, a re-ID service and a studio; nobody does their jobs but the test."""

    def __init__(self, gateway, trainer, studio, database) -> None:
        self.gateway, self.trainer, self.studio = gateway, trainer, studio
        self._tables = {True: database, False: trainer.database}
        self.shelf = Shelf(studio.datasets)
        self.begun = ""

    async def begin(self, **changes) -> str:
        answer = await self.gateway.api.post(URL, json=CHAIN | changes)
        assert answer.status_code == 202, answer.text
        self.begun = answer.json()["id"]
        return answer.headers["location"]

    async def job(self, stage: Stage):
        jobs = self.studio.jobs if stage.is_of_the_studio else self.trainer.jobs
        return await only_job(jobs, JOB_KINDS[stage], self.begun)

    async def say(self, stage: Stage, **columns) -> None:
        table = StudioJobRow if stage.is_of_the_studio else type(await self.job(stage))
        database = self._tables[stage.is_of_the_studio]
        await say(database, table, (await self.job(stage)).id, **columns)

    async def finish(self, stage: Stage, **result) -> None:
        await self.say(stage, state=JobState.SUCCEEDED, result=result)

    async def collect(self) -> str:
        """As the job would: a data set stands on the shelf under its id."""
        job_id = (await self.job(Stage.COLLECT)).id
        names = ["-1_c3s1_000001_00.png", "0001_c1s1_000001_00.png"]
        write_data(self.shelf, job_id, names, ("c1", "c3"), kind="persons")
        cameras = {"gate": "c3", "c2": "c2"}
        await self.finish(Stage.COLLECT, dataset_id=job_id, cameras=cameras, ways=30)
        return job_id


@pytest.fixture
async def factory(start_gateway, trainer, bus, redis_server, tmp_path):
    async with (
        serving(trainer.jobs, bus) as url,
        running_studio(bus, redis_server, tmp_path) as studio,
        start_gateway(reid_training_url=url) as gateway,
    ):
        gateway.city.studio._client = studio.api
        await gateway.add_camera("gate")
        database = Database(studio.settings.database_of("synthetic"))
        factory = Factory(gateway, trainer, studio, database)
        names = [f"0001_c{c}s1_000001_00.png" for c in (1, 2)]
        write_data(factory.shelf, LABELLED, names, ("c1", "c2"), kind="persons")
        yield factory
        await database.close()


async def test_each_stage_follows_from_the_one_before_and_is_begun_once(factory):
    where = await factory.begin()
    model = f"style-{factory.begun.lower()}"
    expected = {
        Stage.COLLECT: {"labelled": LABELLED, "cameras": ["gate", "c2"], "crops": 20},
        Stage.LEARN: {"steps": 7, "height": 32, "width": 16, "seed": 5},
        Stage.GENERATE: {"n": 30, "targets": ["c3", "c2"], "seed": 5},
        Stage.TRAIN: {"labelled": LABELLED, "epochs": 3, "seed": 5},
    }
    ids, shares = {}, []
    for stage, wanted in expected.items():
        job = await factory.job(stage)
        ids[stage] = job.id
        assert {name: job.params[name] for name in wanted} == wanted
        # A gateway dies after it has asked for the job, and before it writes down which one it is.
        async with factory.gateway.city.database.writing() as session:
            (await session.get(AdaptationRow, factory.begun)).job_id = None
        await factory.say(stage, state=JobState.RUNNING, progress=0.5, note="on it")
        told = await factory.gateway.until(where, lambda one: one["note"].endswith(": on it"))
        assert (told["note"], told["job_id"]) == (f"{stage}: on it", job.id)
        shares.append(told["progress"])
        if stage is Stage.COLLECT:
            assert await factory.collect() == job.id
        elif stage is Stage.LEARN:
            assert job.params["dataset_id"] == ids[Stage.COLLECT]
            await factory.finish(stage, model=job.params["model"])
        elif stage is Stage.GENERATE:
            assert job.params["model"] == model
            await factory.finish(stage, dataset_id=job.id, counts={"pictures": 30})
        else:
            assert job.params["made"] == [ids[Stage.GENERATE]]
            assert factory.shelf.has(ids[Stage.COLLECT])
            await factory.finish(stage, better=False, activated=False, contest={"queries": 3})
    ended = await factory.gateway.until(where, lambda one: one["finished_at"])
    assert (ended["state"], ended["progress"]) == ("succeeded", 1.0)
    assert shares == sorted(shares)
    assert ended["result"]["contest"] == {"queries": 3}
    assert ended["result"]["style"] == {
        "model": model,
        "cameras": {"gate": "c3", "c2": "c2"},
        "made": ids[Stage.GENERATE],
        "crops": 30,
    }
    assert factory.shelf.ids == [LABELLED], "what was collected is deleted"
    (listed,) = (await factory.gateway.api.get(URL)).json()["items"]
    assert listed == ended


async def test_cancelling_reaches_the_stage_under_way_and_deletes_what_was_collected(factory):
    where = await factory.begin()
    await factory.collect()
    await factory.say(Stage.LEARN, state=JobState.RUNNING)
    await factory.gateway.until(where, lambda one: one["note"] == "learn")
    asked = await factory.gateway.api.delete(where)
    assert (asked.json()["cancel_requested"], asked.json()["state"]) == (True, "running")
    async with asyncio.timeout(20):
        while not (await factory.job(Stage.LEARN)).cancel_requested:
            await asyncio.sleep(0.05)
    await factory.say(Stage.LEARN, state=JobState.CANCELLED)
    ended = await factory.gateway.until(where, lambda one: one["finished_at"])
    assert ended["state"] == "cancelled"
    assert ended["error"].startswith("cancelled by ")
    assert factory.shelf.ids == [LABELLED]

    # So is a job that a gateway has asked for, and died before it wrote down which one it is.
    where = await factory.begin()
    job = await factory.job(Stage.COLLECT)
    await factory.gateway.until(where, lambda one: one["job_id"])
    async with factory.gateway.city.database.writing() as session:
        row = await session.get(AdaptationRow, factory.begun)
        row.job_id, row.stop_reason = None, "cancelled by somebody"
    ended = await factory.gateway.until(where, lambda one: one["finished_at"])
    assert (ended["state"], ended["job_id"]) == ("cancelled", job.id)
    assert (await factory.job(Stage.COLLECT)).state == "cancelled"


async def test_a_studio_that_is_away_is_waited_for_and_a_stage_that_fails_is_named(factory):
    peer = factory.gateway.city.studio
    where = await factory.begin()
    async with httpx.AsyncClient(base_url="http://127.0.0.1:9") as away:
        peer._client = away
        await factory.collect()
        waiting = await factory.gateway.until(where, lambda one: "is away" in one["note"])
        assert (waiting["stage"], waiting["state"]) == ("learn", "running")
        assert "--profile training" in waiting["note"]
        peer._client = factory.studio.api
        told = "Malformed: the losses are no numbers any more"
        await factory.say(Stage.LEARN, state=JobState.FAILED, error=told)
        ended = await factory.gateway.until(where, lambda one: one["finished_at"])
    assert (ended["state"], ended["error"]) == ("failed", f"learn: {told}")
    assert factory.shelf.ids == [LABELLED]


async def test_what_makes_no_sense_is_refused_before_anything_begins(factory):
    api = factory.gateway.api
    for changes, status, code in (
        ({"made": ASKED["made"]}, 422, "malformed"),
        ({"style": STYLE | {"cameras": []}}, 422, "malformed"),
        ({"style": STYLE | {"cameras": ["c9"]}}, 422, "unknown_camera"),
        ({"labelled": f"{9:026}"}, 404, "unknown_dataset"),
    ):
        answer = await api.post(URL, json=CHAIN | changes)
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert (await api.get(URL)).json()["items"] == []
    without = {name: kind for name, kind in STUDIO_KINDS.items() if name in WITHOUT_TORCH}
    factory.studio.jobs.kinds = without
    answer = await api.post(URL, json=CHAIN)
    assert (answer.status_code, answer.json()["code"]) == (503, "not_installed")
    assert "STUDIO_URL" in answer.json()["detail"]


def test_progress_runs_from_0_to_1_over_the_stages():
    for asked in ({"style": STYLE}, {"style": None}, {"model": "msp-cnn"}):
        stages = stages_of(asked)
        ends = [progress_at(stage, share, asked) for stage in stages for share in (0, 1)]
        assert (ends[0], ends[-1]) == (0, 1)
        assert ends == sorted(ends)
