"""A camera's training: what is recorded, which job is asked for, and how it ends."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import httpx
import numpy as np
import pytest
import uvicorn

from services.anomaly.app import KINDS
from services.anomaly.app import MIGRATIONS as ANOMALY_MIGRATIONS
from services.anomaly.tables import JobRow
from services.anomaly.tuning import NOT_INSTALLED
from services.gateway.core.training import TrainingState
from services.gateway.store.tables import TrainingRow
from shared import jobs_api
from shared.auth import KeyDirectory
from shared.clock import SECOND_US, now_us
from shared.database import Database, migrate_once
from shared.images import decode, encode_jpeg
from shared.jobs import JobQueue, JobState
from shared.model_store import ActivationMap, ModelStore
from shared.recorded_clip import LONGEST_SIDE, RecordedClip, least_frames
from shared.service import create_service
from shared.settings import FloorSettings
from tests.dummy_models import halving_autoencoder
from tests.unit.gateway.test_composer import CONTEXT, LOUD, QUIET, Camera, settled
from tests.unit.gateway.test_explanation import LEFT_HALF

URL = "/v1/baselines/gate"
WANTED = 32


class Trainer:
    """The jobs of a service that trains, over HTTP; nobody does them but the test."""

    def __init__(self, database, jobs) -> None:
        self.database, self.jobs = database, jobs
        self.url = ""

    async def only(self) -> JobRow:
        (job,) = await self.jobs.newest(10, None)
        return job

    async def say(self, **columns) -> None:
        async with self.database.writing() as session:
            job = await session.get(JobRow, (await self.only()).id)
            for name, value in columns.items():
                setattr(job, name, value)


@asynccontextmanager
async def serving(jobs, bus):
    @asynccontextmanager
    async def lifespan(app, health):
        app.state.keys, app.state.jobs = KeyDirectory(bus.redis), jobs
        yield {}

    app = create_service("anomaly", FloorSettings(), routers=[jobs_api.router], lifespan=lifespan)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    await running


@pytest.fixture
async def trainer(bus, tmp_path):
    url = f"sqlite+aiosqlite:///{tmp_path}/anomaly.db"
    await migrate_once(url, ANOMALY_MIGRATIONS)
    database = Database(url)
    trainer = Trainer(database, JobQueue("anomaly", database, JobRow, bus, KINDS))
    async with serving(trainer.jobs, bus) as trainer.url:
        yield trainer
    await database.close()


@pytest.fixture
async def gateway(start_gateway, trainer):
    async with start_gateway(training_url=trainer.url) as running:
        yield running


@pytest.fixture
async def gate(gateway):
    await gateway.add_camera()
    return Camera(gateway)


async def begin(gateway, **body) -> str:
    """Asks for a training of WANTED frames (the API would not take so few); its URL."""
    answer = await gateway.api.post(f"{URL}/train", json=body)
    assert answer.status_code == 202, answer.text
    assert answer.json()["state"] == "recording"
    async with gateway.city.database.writing() as session:
        (await session.get(TrainingRow, answer.json()["id"])).frames_wanted = WANTED
    gateway.city.recorder._looked_at = float("-inf")
    return answer.headers["location"]


async def recorded(gateway, gate) -> str:
    """A training whose job has been asked for."""
    url = await begin(gateway)
    await gate.live(QUIET, QUIET)
    await gateway.until(url, lambda training: training["state"] == "training")
    return url


def footage(gateway) -> list:
    folder = gateway.settings.blobs / "footage"
    return sorted(path for path in folder.rglob("*") if path.is_file())


async def test_normal_clips_are_recorded_small_gray_and_masked_until_it_is_enough(
    gateway, gate, trainer
):
    await gateway.api.patch("/v1/cameras/gate", json={"masks": [LEFT_HALF]})
    await gate.live(QUIET)
    await settled(gateway)
    assert footage(gateway) == [], "nothing is recorded that nobody has asked for"
    url = await begin(gateway, steps=7)
    await gate.clip(np_jpeg(480, 640))
    await gate.answer(-1, QUIET)
    training = await gateway.until(url, lambda training: training["frames"] == 16)
    assert training["note"] == f"16 of {WANTED} normal frames recorded"
    assert training["progress"] == 0.5
    (blob,) = footage(gateway)
    clip = RecordedClip.unpack(blob.read_bytes())
    assert clip.captured_us == tuple(frame.captured_us for frame in gate.clips[-1][1].owned)
    shown = decode(clip.pictures[0], "gray")
    assert shown.shape == (240, LONGEST_SIDE)
    assert shown[:, :150].max() < 8 < shown[:, 170:].min()
    await gate.live(QUIET)
    await gateway.until(url, lambda training: training["state"] == "training")
    job = await trainer.only()
    assert job.params["camera_id"] == "gate"
    assert (job.params["steps"], job.params["fps"]) == (7, 5.0)
    stored = len(footage(gateway))
    await gate.live(QUIET)
    await settled(gateway)
    assert len(footage(gateway)) == stored == 2


def np_jpeg(height: int, width: int) -> bytes:
    return encode_jpeg(np.full((height, width, 3), 120, np.uint8))


async def test_what_is_loud_or_follows_an_alert_is_not_recorded(gateway, gate):
    await gate.live(QUIET)
    await settled(gateway)
    url = await begin(gateway)
    await gate.live(LOUD, QUIET)
    await settled(gateway)
    assert (await gateway.api.get(url)).json()["frames"] < WANTED
    clips = [RecordedClip.unpack(blob.read_bytes()) for blob in footage(gateway)]
    loud = {frame.captured_us for frame in gate.clips[1][1].owned}
    assert not loud & {us for clip in clips for us in clip.captured_us}


async def test_the_job_is_watched_to_its_end_and_the_footage_deleted(gateway, gate, trainer):
    url = await recorded(gateway, gate)
    assert len(footage(gateway)) == 2
    await trainer.say(state=JobState.RUNNING, progress=0.4, note="step 3/7")
    training = await gateway.until(url, lambda training: training["note"] == "step 3/7")
    assert training["progress"] == 0.4
    result = {"better": False, "why_not": ["it is worse"]}
    await trainer.say(state=JobState.SUCCEEDED, result=result, finished_us=now_us())
    training = await gateway.until(url, lambda training: training["finished_at"])
    assert (training["state"], training["result"]) == ("succeeded", result)
    assert footage(gateway) == []
    listed = (await gateway.api.get(f"{URL}/trainings")).json()["items"]
    assert [one["id"] for one in listed] == [training["id"]]


async def test_a_job_that_fails_says_why(gateway, gate, trainer):
    url = await recorded(gateway, gate)
    told = "Conflict: 32 normal frames are too little"
    await trainer.say(state=JobState.FAILED, error=told, finished_us=now_us())
    training = await gateway.until(url, lambda training: training["finished_at"])
    assert (training["state"], training["error"]) == ("failed", told)
    assert footage(gateway) == []


async def test_a_job_of_that_key_that_is_another_ends_the_training(gateway, gate, trainer):
    url = await begin(gateway)
    key = url.rpartition("/")[2]
    params = {"camera_id": "gate", "footage": "f", "fps": 5.0, "steps": 1, "learning_rate": 1e-4}
    await trainer.jobs.create("camera.train", params, key)
    await gate.live(QUIET, QUIET)
    training = await gateway.until(url, lambda training: training["finished_at"])
    assert training["state"] == "failed"
    assert "another job" in training["error"]
    assert footage(gateway) == []


async def test_a_recording_is_cancelled_and_deleted(gateway, gate, trainer):
    url = await begin(gateway)
    await gate.live(QUIET)
    await gateway.until(url, lambda training: training["frames"] == 16)
    answer = await gateway.api.delete(url)
    assert (answer.status_code, answer.json()["cancel_requested"]) == (202, True)
    training = await gateway.until(url, lambda training: training["finished_at"])
    assert training["state"] == "cancelled"
    assert training["error"].startswith("cancelled by ")
    assert footage(gateway) == []
    assert await trainer.jobs.newest(10, None) == []


async def test_cancelling_stops_the_job(gateway, gate, trainer):
    url = await recorded(gateway, gate)
    await trainer.say(state=JobState.RUNNING, lease_expires_us=now_us() + 3600 * SECOND_US)
    await gateway.api.delete(url)
    async with asyncio.timeout(10):
        while not (await trainer.only()).cancel_requested:
            await asyncio.sleep(0.05)
    assert (await gateway.api.get(url)).json()["state"] == "training"
    await trainer.say(state=JobState.CANCELLED, finished_us=now_us())
    await gateway.until(url, lambda training: training["state"] == "cancelled")
    assert footage(gateway) == []


@pytest.mark.parametrize("gone", [True, False], ids=["deleted", "masked"])
async def test_what_may_not_be_shown_any_more_is_forgotten(gateway, gate, trainer, gone):
    url = await begin(gateway)
    await gate.live(QUIET)
    await gateway.until(url, lambda training: training["frames"] == 16)
    if gone:
        await gateway.api.delete("/v1/cameras/gate")
    else:
        await gateway.api.patch("/v1/cameras/gate", json={"masks": [LEFT_HALF]})
    assert footage(gateway) == []
    training = await gateway.until(url, lambda training: training["finished_at"])
    assert training["state"] == "cancelled"
    assert ("deleted" if gone else "masks") in training["error"]


async def test_a_camera_has_one_training_at_a_time(gateway, gate):
    url = await begin(gateway)
    again = await gateway.api.post(f"{URL}/train")
    assert (again.status_code, again.json()["code"]) == (409, "training_under_way")
    assert url in again.json()["detail"]
    await gateway.api.delete(url)
    await gateway.until(url, lambda training: training["finished_at"])
    await begin(gateway)


@pytest.mark.parametrize("activated", [True, False], ids=["activated", "by default"])
async def test_a_model_that_cannot_be_tuned_is_refused_before_anything_is_recorded(
    gateway, gate, activated
):
    folder = gateway.settings.model_folders[0]
    stored = halving_autoencoder(folder, "moves")
    flow = stored.card.input.model_copy(update={"colour": "flow"})
    ModelStore(folder).save(stored.card.model_copy(update={"input": flow}), stored.path)
    activations = ActivationMap(gateway.city.bus.redis, "anomaly")
    if activated:
        await activations.activate(gateway.city.bus, "moves", "gate")
    else:
        await gate.clip()
        await gate.answer(-1, QUIET, context=CONTEXT.model_copy(update={"model": "moves"}))
        await settled(gateway)
    answer = await gateway.api.post(f"{URL}/train")
    assert (answer.status_code, answer.json()["code"]) == (409, "not_trainable")
    assert "moves sees flow pictures" in answer.json()["detail"]
    assert "/v1/models/activations" in answer.json()["detail"], "the cure"
    assert (await gateway.api.get(f"{URL}/trainings")).json()["items"] == []
    halving_autoencoder(folder, "sees-gray")
    await activations.activate(gateway.city.bus, "sees-gray", "gate")
    assert (await gateway.api.post(f"{URL}/train")).status_code == 202


async def test_too_little_footage_is_refused_with_the_least_that_will_do(gateway, gate):
    answer = await gateway.api.post(f"{URL}/train", json={"minutes": 10})
    assert (answer.status_code, answer.json()["code"]) == (422, "too_little_footage")
    assert f"{least_frames(16) / 5 / 60:.1f} minutes" in answer.json()["detail"]
    assert (await gateway.api.post(f"{URL}/train", json={"minutes": 11})).status_code == 202


async def test_a_recording_that_gets_too_little_in_time_is_given_up(gateway, gate):
    url = await begin(gateway)
    await gate.live(QUIET)
    await gateway.until(url, lambda training: training["frames"] == 16)
    async with gateway.city.database.writing() as session:
        row = await session.get(TrainingRow, url.rpartition("/")[2])
        row.deadline_us = now_us()
    training = await gateway.until(url, lambda training: training["finished_at"])
    assert (training["state"], footage(gateway)) == ("failed", [])
    assert training["error"] == f"only 16 of {WANTED} normal frames came in time"


async def test_where_torch_is_not_installed_the_answer_names_the_cure(start_gateway, bus):
    async with serving(NOT_INSTALLED, bus) as url, start_gateway(training_url=url) as gateway:
        await gateway.add_camera()
        answer = await gateway.api.post(f"{URL}/train")
        assert (answer.status_code, answer.json()["code"]) == (503, "not_installed")
        assert "install the extra `train`" in answer.json()["detail"]
        assert (await gateway.api.get(f"{URL}/trainings")).json()["items"] == []


async def test_where_training_is_away_cameras_are_recorded_and_it_is_told(gateway, gate, trainer):
    url = await begin(gateway)
    await gateway.city.training._client.aclose()
    away = httpx.AsyncClient(base_url="http://127.0.0.1:9")
    gateway.city.training._client = away
    await gate.live(QUIET, QUIET)
    training = await gateway.until(url, lambda training: "is away" in training["note"])
    assert training["state"] == "recorded"
    gateway.city.training._client = httpx.AsyncClient(base_url=trainer.url)
    await gateway.until(url, lambda training: training["state"] == "training")
    await away.aclose()


async def test_the_bound_on_disk_ends_a_recording(start_gateway, trainer):
    async with start_gateway(training_url=trainer.url, training_footage_bytes=100) as gateway:
        await gateway.add_camera()
        gate = Camera(gateway)
        url = await begin(gateway)
        await gate.live(QUIET)
        training = await gateway.until(url, lambda training: training["state"] == "training")
        assert training["frames"] == 16 < WANTED


async def own_model(gateway, camera_id: str = "gate") -> str:
    """A model that was trained for a camera, in the store."""
    folder = gateway.settings.model_folders[0]
    stored = halving_autoencoder(folder, f"halves-{camera_id}-1")
    lineage = {"lineage": {"camera_id": camera_id, "base": "halves"}}
    ModelStore(folder).save(stored.card.model_copy(update={"settings": lineage}), stored.path)
    return stored.card.name


async def test_one_call_brings_the_earlier_model_back(gateway, gate):
    activations = ActivationMap(gateway.city.bus.redis, "anomaly")
    own = await own_model(gateway)
    await activations.activate(gateway.city.bus, "halves")
    await activations.activate(gateway.city.bus, own, "gate")
    answer = await gateway.api.post(f"{URL}/train/rollback")
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"camera_id": "gate", "before": own, "after": "halves"}
    assert await activations.read() == {"*": "halves"}
    again = await gateway.api.post(f"{URL}/train/rollback")
    assert (again.status_code, again.json()["code"]) == (409, "nothing_to_roll_back")


async def test_a_model_that_was_not_trained_for_the_camera_is_left_alone(gateway, gate):
    activations = ActivationMap(gateway.city.bus.redis, "anomaly")
    for model in ("no-such-model", await own_model(gateway, "door")):
        await activations.activate(gateway.city.bus, model, "gate")
        answer = await gateway.api.post(f"{URL}/train/rollback")
        assert (answer.status_code, answer.json()["code"]) == (409, "nothing_to_roll_back")
        assert (await activations.read())["gate"] == model


def test_final_states_are_those_that_end():
    assert [state for state in TrainingState if state.is_final] == [
        TrainingState.SUCCEEDED,
        TrainingState.FAILED,
        TrainingState.CANCELLED,
    ]
