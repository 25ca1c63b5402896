"""Pictures in over HTTP, made pictures out: real jobs in processes of their own, one is killed."""

from __future__ import annotations

import asyncio
import io
import json
import multiprocessing
import os
import zipfile
from functools import cache

import numpy as np
import pytest

from services.synthetic.app import work
from services.synthetic.settings import SyntheticSettings
from services.synthetic.tables import JobRow
from shared.database import Database
from shared.health import Vital
from shared.job_worker import JobWorker
from shared.made_data import MadeData
from shared.mark import is_marked
from tests.unit.synthetic.studio import arrays, running_studio

STEPS, KEPT = 150, 100
"""Of the training; and the step of its first checkpoint."""


@cache
def _processes():
    """Processes are forked from one that has imported all they need: a fresh one takes seconds."""
    context = multiprocessing.get_context("forkserver")
    rooms = ["services.synthetic.training.learning", "services.synthetic.training.generating"]
    context.set_forkserver_preload([__name__, *rooms, "torch._dynamo"])
    return context


def do_job(settings: SyntheticSettings, job_id: str, epoch: int) -> None:
    """As `python -m services.synthetic work` does."""
    # Whatever the process that forks may have been started with, for other tests.
    os.environ["CITYBRAIN_HOME"] = str(settings.citybrain_home)
    os.environ["MODELS_FOLDER"] = str(settings.models_folder)
    asyncio.run(work(settings, job_id, epoch))


class Worker:
    """Claims jobs as the service's does, and starts their processes."""

    def __init__(self, studio, bus) -> None:
        self._studio = studio
        self.database = Database(studio.settings.database_of("synthetic"))
        self._claims = JobWorker("synthetic", self.database, JobRow, bus, Vital("jobs"))

    async def begin(self):
        claimed = await self._claims.claim()
        arguments = (self._studio.settings, *claimed)
        process = _processes().Process(target=do_job, args=arguments, daemon=True)
        process.start()
        return process

    async def lose(self, job_id: str) -> None:
        """Its lease runs out, as it would ten seconds after its process has died."""
        async with self.database.writing() as session:
            (await session.get_one(JobRow, job_id, with_for_update=True)).lease_expires_us = 0


@pytest.fixture
async def studio(bus, redis_server, tmp_path):
    async with running_studio(bus, redis_server, tmp_path) as studio:
        yield studio


@pytest.fixture
async def worker(studio, bus):
    worker = Worker(studio, bus)
    yield worker
    await worker.database.close()


async def order(studio, path: str, **body) -> str:
    answer = await studio.api.post(path, json=body)
    assert answer.status_code == 202, answer.text
    return answer.headers["location"]


async def end_of(process) -> None:
    await asyncio.to_thread(process.join, 240)
    assert process.exitcode is not None


async def train(studio, worker, dataset: str) -> dict:
    """With a process that is killed as soon as it has kept something."""
    asked = {"system": "gan", "dataset_id": dataset, "model": "tiny", "steps": STEPS, "batch": 4}
    where = await order(
        studio, "/v1/trainings", **asked, settings={"features": 4, "noise": 4, "penalty": ""}
    )
    job_id = where.rpartition("/")[2]
    folder = studio.settings.jobs_folder / job_id
    process = await worker.begin()
    async with asyncio.timeout(240):
        while not (folder / "work" / "checkpoint.pt").exists():
            await asyncio.sleep(0.005)
    process.kill()
    await end_of(process)
    assert (await studio.api.get(where)).json()["state"] == "running", "nobody has noticed yet"
    await worker.lose(job_id)
    await end_of(await worker.begin())
    said = [json.loads(line)["step"] for line in (folder / "log.jsonl").read_text().splitlines()]
    assert KEPT + 1 in said, "it went on from the checkpoint"
    assert said.count(1) == 1, "and did not begin anew"
    assert said[-1] == STEPS
    assert is_marked((await studio.api.get(f"{where}/sheet.png")).content)
    return (await studio.api.get(where)).json()


async def test_a_killed_training_goes_on_and_what_it_has_learnt_makes_a_data_set(
    studio, worker, tmp_path
):
    noise = np.random.default_rng(0).integers(0, 256, (40, 8, 8)).astype(np.uint8)
    sent = await studio.send(arrays(images=noise, labels=np.arange(40) % 2))
    assert sent.status_code == 201, sent.text
    trained = await train(studio, worker, sent.json()["id"])
    assert (trained["state"], trained["attempts"]) == ("succeeded", 2), trained
    assert (await studio.api.get("/v1/systems/gan")).json()["models"] == ["tiny"]

    where = await order(studio, "/v1/generations", model="tiny", n=10, name="made")
    await end_of(await worker.begin())
    made = (await studio.api.get(where)).json()
    assert made["state"] == "succeeded", made
    where = f"/v1/datasets/{made['result']['dataset_id']}"
    manifest = (await studio.api.get(where)).json()
    assert manifest["model_sha256"] == trained["result"]["sha256"]
    assert (manifest["synthetic"], manifest["verdict"]["outcome"]) == (True, "unmeasured")
    fetched = (await studio.api.get(f"{where}/archive.zip")).content
    with zipfile.ZipFile(io.BytesIO(fetched)) as opened:
        opened.extractall(tmp_path / "fetched")
    data = MadeData.read(tmp_path / "fetched")
    assert len(data.images) == 10
    assert all(is_marked(image.read_bytes()) for image in data.images)
