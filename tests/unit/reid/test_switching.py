"""A model is asked for; the gallery's writer fills its space, verifies it and switches to it."""

from __future__ import annotations

import asyncio

import pytest

from services.reid.gallery.reindexing import ask_for
from services.reid.gallery.switching import _parts, _Switching, serving_model, switch_to
from services.reid.gallery.tables import ReindexRow
from services.reid.retraining import SwitchParams, switch
from services.reid.settings import ReidSettings
from shared.database import Database
from shared.jobs import JobCancelled, JobContext
from shared.model_store import ActivationMap, ModelStore
from tests.unit.reid.test_gallery_api import add_model, searched, two_people
from tests.unit.reid.test_worker import running


@pytest.fixture
async def service(bus, redis_server, tmp_path, monkeypatch):
    """Its environment is that of a job's process, too."""
    monkeypatch.setenv("CITYBRAIN_HOME", str(tmp_path))
    monkeypatch.setenv("MODELS_FOLDER", str(tmp_path / "models"))
    monkeypatch.setenv("REID_MODEL", "colours")
    monkeypatch.setenv("BUS_URL", redis_server.url)
    async with running(bus, redis_server, tmp_path) as service:
        await two_people(service)
        add_model(tmp_path / "models", "second")
        yield service


async def row_of(service, model: str) -> ReindexRow | None:
    database = Database(ReidSettings().database_of("reid"))
    async with database.reading() as session:
        row = await session.get(ReindexRow, model)
    await database.close()
    return row


def second(service):
    return ModelStore(service.folder / "models").load("second")


async def to_second(service, context) -> str:
    settings = ReidSettings()
    return await asyncio.to_thread(
        switch_to, second(service), settings, context, instead_of="colours"
    )


async def test_a_model_serves_once_the_gallery_has_its_vectors_and_the_one_before_comes_back(
    service, tmp_path
):
    context = JobContext("01JOB", tmp_path)
    assert await to_second(service, context) == ""
    assert await asyncio.to_thread(serving_model, ReidSettings()) == "second"
    row = await row_of(service, "second")
    assert (row.state, row.embedded, row.switches) == ("switched", 2, False)
    assert await searched(service) == 2
    back = await asyncio.to_thread(switch, SwitchParams(model="colours"), context)
    assert back == {"before": "second", "after": "colours", "why_not": None}
    assert await asyncio.to_thread(serving_model, ReidSettings()) == "colours"
    assert await searched(service) == 2


async def test_what_was_activated_meanwhile_stays(service, tmp_path):
    add_model(tmp_path / "models", "third")
    await ActivationMap(service.bus.redis, "reid").activate(service.bus, "third")
    why_not = await to_second(service, JobContext("01JOB", tmp_path))
    assert why_not.startswith("third was activated meanwhile")
    assert await asyncio.to_thread(serving_model, ReidSettings()) == "third"
    assert await row_of(service, "second") is None, "nothing was asked for"


async def test_a_space_that_lacks_somebody_is_not_switched_to_and_says_so(service, tmp_path):
    next((tmp_path / "blobs").rglob("*.jpg")).unlink()
    why_not = await to_second(service, JobContext("01JOB", tmp_path))
    assert "1 tracklets have no crop" in why_not
    assert await asyncio.to_thread(serving_model, ReidSettings()) == "colours"


async def test_who_waits_for_a_switch_that_another_has_called_off_is_told(service, tmp_path):
    picture = next((tmp_path / "blobs").rglob("*.jpg"))
    body = picture.read_bytes()
    picture.unlink()
    settings = ReidSettings()
    async with _parts(settings) as (bus, database):
        context = JobContext("01JOB", tmp_path)
        switching = _Switching(second(service), "colours", bus, database, settings, context)
        assert await switching._look() is None, "it has asked"
        async with asyncio.timeout(20):
            while (await row_of(service, "second")).state != "failed":
                await asyncio.sleep(0.1)
            picture.write_bytes(body)
            await ask_for(database, "second", second(service).digest, switches=False)
            while (end := await switching._look()) is None:
                await asyncio.sleep(0.1)
    assert end == "somebody asked meanwhile for its space without a switch"
    assert await asyncio.to_thread(serving_model, settings) == "colours"


async def test_who_is_cancelled_wants_no_switch_any_more(service, tmp_path):
    context = JobContext("01JOB", tmp_path)
    context.stop.set()
    with pytest.raises(JobCancelled):
        await to_second(service, context)
    assert (await row_of(service, "second")).switches is False
