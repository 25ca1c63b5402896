"""Pictures in over HTTP, made pictures out: a real service, real jobs, one of them killed."""

from __future__ import annotations

import asyncio
import io
import json
import time
import zipfile

import httpx
import numpy as np
import psutil
import pytest

from services.synthetic.app import MIGRATIONS, create_app
from services.synthetic.settings import SyntheticSettings
from shared.auth import KeyDirectory, Scope, make_key
from shared.database import migrate_once
from shared.made_data import MadeData
from shared.mark import is_marked

STEPS, KEPT = 250, 100
"""Of the training; and the step of its first checkpoint."""


@pytest.fixture
async def api(bus, redis_server, tmp_path, monkeypatch):
    monkeypatch.setenv("CITYBRAIN_HOME", str(tmp_path))
    monkeypatch.setenv("MODELS_FOLDER", str(tmp_path / "shipped"))
    monkeypatch.setenv("BUS_URL", redis_server.url)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    settings = SyntheticSettings()
    await migrate_once(settings.database_of("synthetic"), MIGRATIONS)
    key = make_key()
    entry = {"key_id": "k", "name": "k", "expires_us": None, "cameras": None}
    scopes = [Scope.JOBS_READ, Scope.JOBS_WRITE]
    await KeyDirectory(bus.redis).put(key.digest, entry | {"scopes": scopes})
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        headers = {"X-API-Key": key.secret}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://synthetic", headers=headers
        ) as client:
            yield client


async def order(api, path: str, **body) -> str:
    answer = await api.post(path, json=body)
    assert answer.status_code == 202, answer.text
    return answer.headers["location"]


async def until(look, *, every_s: float, within_s: float = 240):
    deadline = time.monotonic() + within_s
    while not (found := await look()):
        assert time.monotonic() < deadline
        await asyncio.sleep(every_s)
    return found


async def ended(api, where: str) -> dict:
    async def look():
        job = (await api.get(where)).json()
        return job if job["finished_at"] else None

    return await until(look, every_s=0.25)


async def test_a_killed_training_goes_on_and_what_it_has_learnt_makes_a_data_set(api, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8)).astype(np.uint8)
    archive = io.BytesIO()
    np.savez(archive, images=images, labels=np.arange(40) % 2)
    sent = await api.post("/v1/datasets", params={"name": "noise"}, content=archive.getvalue())
    assert sent.status_code == 201, sent.text
    training = await order(
        api,
        "/v1/trainings",
        system="gan",
        dataset_id=sent.json()["id"],
        model="tiny",
        steps=STEPS,
        batch=4,
        settings={"features": 4, "noise": 4},
    )
    folder = tmp_path / "synthetic" / "jobs" / training.rpartition("/")[2]

    async def kept():
        return (folder / "work" / "checkpoint.pt").exists()

    await until(kept, every_s=0.01)
    (process,) = [it for it in psutil.Process().children() if "work" in it.cmdline()]
    process.kill()
    done = await ended(api, training)
    assert (done["state"], done["attempts"]) == ("succeeded", 2), done
    said = [json.loads(line)["step"] for line in (folder / "log.jsonl").read_text().splitlines()]
    assert KEPT + 1 in said, "it went on from the checkpoint"
    assert said.count(1) == 1, "and did not begin anew"
    assert said[-1] == STEPS
    sheet = (await api.get(f"{training}/sheet.png")).content
    assert is_marked(sheet)
    (listed,) = [one for one in (await api.get("/v1/systems")).json() if one["name"] == "gan"]
    assert listed["models"] == ["tiny"]

    generation = await order(api, "/v1/generations", model="tiny", n=10, name="made")
    made = await ended(api, generation)
    assert made["state"] == "succeeded", made
    where = f"/v1/datasets/{made['result']['dataset_id']}"
    manifest = (await api.get(where)).json()
    assert manifest["model_sha256"] == done["result"]["sha256"]
    assert (manifest["synthetic"], manifest["verdict"]["outcome"]) == (True, "unmeasured")
    with zipfile.ZipFile(io.BytesIO((await api.get(f"{where}/archive.zip")).content)) as opened:
        opened.extractall(tmp_path / "fetched")
    data = MadeData.read(tmp_path / "fetched")
    assert len(data.images) == 10
    assert all(is_marked(image.read_bytes()) for image in data.images)
