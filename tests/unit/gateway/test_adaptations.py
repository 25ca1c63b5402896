"""One call trains a re-ID model of the city's own; another brings the one before back."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select

from services.gateway.store.tables import AuditRow
from services.reid.gallery.schema import MIGRATIONS as REID_MIGRATIONS
from services.reid.gallery.tables import JobRow
from services.reid.retraining import KINDS, NOT_INSTALLED
from shared.clock import SECOND_US, now_us
from shared.database import Database, migrate_once
from shared.jobs import JobQueue, JobState
from shared.model_store import ActivationMap
from tests.unit.gateway.test_trainings import serving

URL = "/v1/adaptations"
ASKED = {"labelled": f"{1:026}", "made": [f"{2:026}"], "epochs": 3, "purpose": "the new cameras"}


class Trainer:
    """The jobs of a re-ID service that trains; nobody does them but the test."""

    def __init__(self, database, bus) -> None:
        self.database = database
        self.jobs = JobQueue("reid", database, JobRow, bus, KINDS)

    async def only(self, kind: str) -> JobRow:
        """The job of a kind, as soon as it was asked for."""
        return await only_job(self.jobs, kind)

    async def say(self, kind: str, **columns) -> None:
        await say(self.database, JobRow, (await self.only(kind)).id, **columns)

    async def win(self) -> None:
        result = {"better": True, "activated": True, "base": "msp-cnn", "model": "msp-cnn-own-1"}
        await self.say("reid.train", state=JobState.SUCCEEDED, result=result)


async def only_job(jobs: JobQueue, kind: str, since: str = ""):
    """since: an id; jobs from before are not meant."""
    async with asyncio.timeout(20):
        while not (found := [job for job in await jobs.newest(9, None, kind) if job.id > since]):
            await asyncio.sleep(0.02)
    (job,) = found
    return job


async def say(database, table, job_id: str, **columns) -> None:
    """What a job's process would: its lease, or its end, come with its state."""
    state = columns.get("state")
    if state is not None and state.is_final:
        columns["finished_us"] = now_us()
    elif state is JobState.RUNNING:
        columns["lease_expires_us"] = now_us() + 3600 * SECOND_US
    async with database.writing() as session:
        job = await session.get(table, job_id)
        for name, value in columns.items():
            setattr(job, name, value)


@pytest.fixture
async def trainer(bus, tmp_path):
    url = f"sqlite+aiosqlite:///{tmp_path}/reid.db"
    await migrate_once(url, REID_MIGRATIONS)
    database = Database(url)
    yield Trainer(database, bus)
    await database.close()


@pytest.fixture
async def gateway(start_gateway, trainer, bus):
    async with (
        serving(trainer.jobs, bus) as url,
        start_gateway(reid_training_url=url) as gateway,
    ):
        yield gateway


async def audited(gateway) -> list[AuditRow]:
    async with gateway.city.database.reading() as session:
        query = select(AuditRow).where(AuditRow.action.like("models.%")).order_by(AuditRow.id)
        return list(await session.scalars(query))


async def test_one_call_begins_it_is_watched_and_recorded_with_its_purpose(gateway, trainer):
    answer = await gateway.api.post(URL, json=ASKED, headers={"Idempotency-Key": "k"})
    assert answer.status_code == 202, answer.text
    begun, where = answer.json(), answer.headers["location"]
    assert (begun["kind"], begun["state"]) == ("train", "queued")
    job = await trainer.only("reid.train")
    assert (job.params["epochs"], job.params["made"]) == (3, ASKED["made"])
    await trainer.say("reid.train", state=JobState.RUNNING, progress=0.4, note="epoch 2/3")
    watched = await gateway.until(where, lambda one: one["note"] == "train: epoch 2/3")
    assert (watched["progress"], watched["state"]) == (0.4, "running")
    again = await gateway.api.post(URL, json=ASKED, headers={"Idempotency-Key": "k"})
    assert again.json()["id"] == begun["id"]
    other = await gateway.api.post(
        URL, json=ASKED | {"epochs": 5}, headers={"Idempotency-Key": "k"}
    )
    assert other.status_code == 409
    assert [one["id"] for one in (await gateway.api.get(URL)).json()["items"]] == [begun["id"]]
    entry = (await audited(gateway))[0]
    assert (entry.action, entry.purpose) == ("models.adapt", "the new cameras")
    assert entry.details["labelled"] == ASKED["labelled"]


async def test_it_is_cancelled(gateway, trainer):
    where = (await gateway.api.post(URL, json=ASKED)).headers["location"]
    await trainer.only("reid.train")
    answer = await gateway.api.delete(where)
    assert (answer.status_code, answer.json()["cancel_requested"]) == (202, True)
    ended = await gateway.until(where, lambda one: one["finished_at"])
    assert ended["state"] == "cancelled"
    assert ended["error"].startswith("cancelled by ")
    assert (await trainer.only("reid.train")).state == "cancelled"


async def test_the_model_of_before_comes_back_by_a_switch_of_the_gallery(gateway, trainer):
    where = (await gateway.api.post(URL, json=ASKED)).headers["location"]
    why = {"purpose": "confuses uniforms"}
    early = await gateway.api.post(f"{where}/rollback", json=why)
    assert (early.status_code, early.json()["code"]) == (409, "nothing_to_roll_back")
    await trainer.win()
    won = await gateway.until(where, lambda one: one["finished_at"])
    assert (won["state"], won["result"]["model"]) == ("succeeded", "msp-cnn-own-1")
    activations = ActivationMap(gateway.city.bus.redis, "reid")
    await activations.activate(gateway.city.bus, "msp-cnn-own-1")
    answer = await gateway.api.post(f"{where}/rollback", json=why)
    assert answer.status_code == 202, answer.text
    assert (answer.json()["kind"], answer.json()["asked"]) == ("switch", {"model": "msp-cnn"})
    assert (await trainer.only("reid.switch")).params == {"model": "msp-cnn"}
    assert (await audited(gateway))[-1].purpose == "confuses uniforms"
    assert await activations.read() == {"*": "msp-cnn-own-1"}, "no space was verified yet"
    listed = (await gateway.api.get(URL, params={"limit": 1})).json()
    assert [one["kind"] for one in listed["items"]] == ["switch"]
    earlier = (await gateway.api.get(URL, params={"cursor": listed["next_cursor"]})).json()
    assert [one["result"] for one in earlier["items"]] == [won["result"]]


@pytest.mark.parametrize(
    "wrong", [{"labelled": "../etc"}, {"epochs": 0}, {"purpose": ""}, {"steps": 3}]
)
async def test_what_makes_no_sense_is_refused_before_a_job_is_made(gateway, trainer, wrong):
    assert (await gateway.api.post(URL, json=ASKED | wrong)).status_code == 422
    assert await trainer.jobs.newest(10, None) == []
    assert (await gateway.api.get(URL)).json()["items"] == []


async def test_who_is_no_admin_may_not_change_what_everybody_is_recognised_by(gateway):
    key = await gateway.key("cameras:write", "jobs:write")
    assert (await gateway.api.post(URL, json=ASKED, headers=key)).status_code == 403


async def test_where_torch_is_not_installed_the_answer_names_the_cure(start_gateway, bus):
    async with (
        serving(NOT_INSTALLED, bus) as url,
        start_gateway(reid_training_url=url) as gateway,
    ):
        answer = await gateway.api.post(URL, json=ASKED)
        assert (answer.status_code, answer.json()["code"]) == (503, "not_installed")
        assert "install the extra `train`" in answer.json()["detail"]
