"""One call, from a live camera's crops to a gallery that is served by a model of the city's own:
a real gateway, a real re-ID service, a real studio, each job in a process of its own."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
import zipfile
from contextlib import ExitStack, contextmanager

import cv2
import httpx
import numpy as np
import pytest

from services.embedded.layout import free_port
from services.reid.gallery.schema import MIGRATIONS as REID_MIGRATIONS
from services.synthetic.app import MIGRATIONS as STUDIO_MIGRATIONS
from shared.clock import from_us
from shared.database import migrate_once
from shared.images import decode, encode_jpeg
from shared.mark import is_marked
from shared.model_store import ActivationMap
from tests.drawn_people import drawn, untaught
from tests.flow.test_training import ready
from tests.unit.gateway.conftest import running_gateway
from tests.unit.synthetic.studio import zipped

PEOPLE, SHARE, CROPS = 40, 0.4, 40
FRAMES, CLIPS, TALL, WIDE = 4, 6, 96, 48
START_US, INTERVAL_US = 1_700_000_000_000_000, 200_000
WHY = {"purpose": "a test of the whole loop"}


@contextmanager
def service(name: str, redis_url: str, home, **settings):
    """A process of its own; its address."""
    port = free_port("127.0.0.1")
    environment = os.environ | {
        "CITYBRAIN_HOME": str(home),
        "MODELS_FOLDER": str(home / "shipped"),
        "BUS_URL": redis_url,
        "PORT": str(port),
        "OMP_NUM_THREADS": "1",
        "INFERENCE_PROVIDER": "cpu",
        **settings,
    }
    with (home / f"{name}.log").open("wb") as log:
        command = [sys.executable, "-m", f"services.{name}"]
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=30)


@pytest.fixture
async def city(redis_server, bus, tmp_path):
    """A gateway, and a client of its studio."""
    untaught(tmp_path / "shipped")
    await migrate_once(f"sqlite+aiosqlite:///{tmp_path}/reid.db", REID_MIGRATIONS)
    await migrate_once(f"sqlite+aiosqlite:///{tmp_path}/synthetic.db", STUDIO_MIGRATIONS)
    roles = {"REID_MODEL": "untaught", "REID_ROLES": '["embed", "gallery", "train"]'}
    with ExitStack() as services:
        reid = services.enter_context(service("reid", redis_server.url, tmp_path, **roles))
        studio = services.enter_context(service("synthetic", redis_server.url, tmp_path))
        async with running_gateway(
            redis_server.url,
            tmp_path,
            models_folder=tmp_path / "shipped",
            reid_url=reid,
            reid_training_url=reid,
            studio_url=studio,
            clip_length=FRAMES,
            clip_stride=FRAMES,
        ) as gateway:
            await gateway.add_camera("gate", mode="archive")
            for address in (reid, studio):
                await ready(f"{address}/readyz")
            headers = {"X-API-Key": gateway.api.headers["x-api-key"]}
            async with httpx.AsyncClient(base_url=studio, headers=headers, timeout=30) as api:
                yield gateway, api


def person_at_the_gate(person: int, n: int) -> np.ndarray:
    """Its camera is the third: of another light than those of the labelled set."""
    pixels = decode(drawn(person, 3, n), "rgb")
    return cv2.resize(pixels, (WIDE, TALL), interpolation=cv2.INTER_NEAREST)


async def walk_by(gateway) -> None:
    """Four people a clip, none of whom is labelled."""
    files, metadata = [], []
    for number in range(FRAMES * CLIPS):
        picture, boxes = np.full((160, 320, 3), 128, np.uint8), []
        for n in range(4):
            x, person = 20 + 70 * n, 500 + 4 * (number // FRAMES) + n
            picture[40 : 40 + TALL, x : x + WIDE] = person_at_the_gate(person, number)
            boxes.append({"x": x, "y": 40, "width": WIDE, "height": TALL})
        files.append(("frames", (f"{number}.jpg", encode_jpeg(picture, 95), "image/jpeg")))
        at = from_us(START_US + number * INTERVAL_US).isoformat()
        metadata.append({"captured_at": at, "boxes": boxes})
    answer = await gateway.api.post(
        "/v1/cameras/gate/frames/batch", files=files, data={"metadata": json.dumps(metadata)}
    )
    assert answer.is_success, answer.text
    wanted = 4 * (CLIPS - 1)
    await gateway.until("/v1/sightings", lambda page: len(page["items"]) >= wanted, timeout_s=60)


async def labelled(studio) -> str:
    """The id of an uploaded data set."""
    files = {
        f"{person:04}_c{camera}s1_{n:06}_00.png": drawn(person, camera, n)
        for person in range(1, PEOPLE + 1)
        for camera in (1, 2)
        for n in (0, 1)
    }
    query = {"name": "the station", "kind": "persons", "licence": "of the test"}
    answer = await studio.post("/v1/datasets", params=query, content=zipped(files))
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def search(gateway, image: bytes) -> httpx.Response:
    files = {"image": ("crop", image)}
    return await gateway.api.post("/v1/persons/search", files=files, data=WHY)


async def served_by(gateway) -> str:
    answer = await search(gateway, encode_jpeg(person_at_the_gate(500, 0)))
    assert answer.status_code == 200, answer.text
    assert answer.json()["searched"] >= 4 * (CLIPS - 1)
    return answer.json()["model"]


async def made_pictures(studio, dataset_id: str) -> list[bytes]:
    archive = (await studio.get(f"/v1/datasets/{dataset_id}/archive.zip")).content
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return [opened.read(name) for name in opened.namelist() if name.startswith("images/")]


async def ended(gateway, where: str) -> dict:
    """The result. It is asked for seldom: the jobs need the cores."""
    async with asyncio.timeout(900):
        while not (one := (await gateway.api.get(where)).json())["finished_at"]:
            await asyncio.sleep(1)
    assert one["state"] == "succeeded", one
    return one["result"]


async def test_one_call_learns_a_camera_makes_people_trains_and_switches_and_one_goes_back(city):
    gateway, studio = city
    labelled_id = await labelled(studio)
    await walk_by(gateway)
    assert await served_by(gateway) == "untaught"
    asked = {
        "labelled": labelled_id,
        "style": {"cameras": ["gate"], "steps": 4, "crops": CROPS, "live_crops": 20},
        "held_out": SHARE,
        "learning_rate": 3e-3,
        **WHY,
    }
    answer = await gateway.api.post("/v1/adaptations", json=asked)
    assert answer.status_code == 202, answer.text
    where = answer.headers["location"]
    result = await ended(gateway, where)

    assert (result["better"], result["activated"]) == (True, True), result["why_not"]
    assert result["contest"]["gain"]["low"] > 0
    assert result["made"] in ("gain", "no_gain")
    assert (result["style"]["cameras"], result["style"]["crops"]) == ({"gate": "c3"}, CROPS)
    assert await ActivationMap(gateway.city.bus.redis, "reid").read() == {"*": result["model"]}
    assert await served_by(gateway) == result["model"]

    left = [one["id"] for one in (await studio.get("/v1/datasets")).json()["items"]]
    assert left == [result["style"]["made"], labelled_id], "what was collected is deleted"
    manifest = (await studio.get(f"/v1/datasets/{left[0]}")).json()
    assert (manifest["synthetic"], manifest["model"]) == (True, result["style"]["model"])
    assert manifest["verdict"]["outcome"] == result["made"]
    pictures = await made_pictures(studio, left[0])
    assert len(pictures) == CROPS
    assert all(is_marked(picture) for picture in pictures)
    refused = await search(gateway, pictures[0])
    assert (refused.status_code, refused.json()["code"]) == (422, "synthetic_image")

    answer = await gateway.api.post(f"{where}/rollback", json=WHY)
    assert answer.status_code == 202, answer.text
    back = await ended(gateway, answer.headers["location"])
    assert (back["before"], back["after"]) == (result["model"], "untaught")
    assert await served_by(gateway) == "untaught"
