"""The gallery over REST: modes, forgetting, a change of models; in memory and on Qdrant."""

from __future__ import annotations

import asyncio

import onnx
import pytest
from qdrant_client import AsyncQdrantClient
from sqlalchemy import delete, select

from services.reid.gallery.qdrant_gallery import QdrantGallery
from services.reid.gallery.tables import ReindexRow, TrackletRow, TrackletVectorRow
from services.reid.settings import ReidSettings
from shared.auth import KeyDirectory, Scope, make_key
from shared.database import Database
from shared.errors import Unavailable
from shared.model_store import ActivationMap, ModelStore, sha256_of
from tests.unit.reid.test_gallery_contract import batch
from tests.unit.reid.test_worker import BLUE, RED, WHY, box, crop, running, scene

pytestmark = [
    pytest.mark.filterwarnings("ignore:Local mode performs exact:UserWarning"),
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning"),
]
JPEG = {"Content-Type": "image/jpeg"}


def add_model(folder, name: str) -> str:
    """The colour embedder again, as another file; its digest."""
    store = ModelStore(folder)
    colours = store.load("colours")
    network = onnx.load(colours.path)
    network.doc_string = name
    file = folder / f"{name}.onnx"
    onnx.save(network, file)
    card = colours.card.model_copy(
        update={"name": name, "file": file.name, "sha256": sha256_of(file)}
    )
    return store.save(card, file).digest


async def as_admin(service) -> dict[str, str]:
    return await with_key(service, Scope.ADMIN)


async def with_key(service, *scopes: Scope, cameras: list[str] | None = None) -> dict[str, str]:
    key = make_key()
    entry = {"key_id": "a", "name": "a", "scopes": scopes, "cameras": cameras}
    await KeyDirectory(service.bus.redis).put(key.digest, {**entry, "expires_us": None})
    return {"X-API-Key": key.secret}


async def search(service, **params):
    response = await service.api.post(
        "/v1/gallery/search", params=WHY | params, content=crop(BLUE), headers=JPEG
    )
    assert response.status_code == 200, response.text
    return response.json()


async def until(look, wanted):
    async with asyncio.timeout(20):
        while (found := await look()) != wanted:
            await asyncio.sleep(0.05)
    return found


async def two_people(service) -> dict[str, str]:
    """Red and blue walk by; their persons."""
    await service.send([scene((20, RED), (200, BLUE))] * 16, boxes=[(box(20), box(200))] * 16)
    (outcome,) = await service.sighted(1)
    persons = {sighting.detections[0].box.x: sighting.person_id for sighting in outcome.sightings}
    await until(lambda: searched(service), 2)
    return {"red": persons[20], "blue": persons[200]}


async def searched(service) -> int:
    return (await search(service))["searched"]


@pytest.fixture
async def service(bus, redis_server, tmp_path):
    async with running(bus, redis_server, tmp_path) as service:
        yield service


@pytest.mark.parametrize("mode", ["exact", "balanced", "fast"])
async def test_an_answer_tells_how_it_was_searched_and_what_that_finds(service, mode):
    persons = await two_people(service)
    answer = await search(service, mode=mode)
    assert answer["persons"][0]["person_id"] == persons["blue"]
    # So few are searched exactly, whatever was asked for.
    assert (answer["mode"], answer["recall"]) == ("exact", 1.0)


async def test_an_unknown_mode_and_an_unknown_model_are_refused(service):
    refused = await service.api.post(
        "/v1/gallery/search", params=WHY | {"mode": "magic"}, content=crop(BLUE), headers=JPEG
    )
    assert refused.status_code == 422
    admin = await as_admin(service)
    unknown = await service.api.put("/v1/gallery/spaces/nobody", headers=admin)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_model")
    never = await service.api.get("/v1/gallery/spaces/nobody")
    assert (never.status_code, never.json()["code"]) == (404, "unknown_reindex")


async def test_times_that_no_database_takes_and_that_run_backwards_are_refused(service):
    for span in ({"start_us": 2**63}, {"end_us": 10**30}, {"start_us": 5, "end_us": 1}):
        request = {"params": WHY | span, "content": crop(BLUE), "headers": JPEG}
        refused = await service.api.post("/v1/gallery/search", **request)
        assert refused.status_code == 422, span
    assert refused.json()["code"] == "empty_span"
    path, headers = "/v1/gallery/tracklets", await as_admin(service)
    refused = await service.api.delete(path, params={"before_us": 10**30}, headers=headers)
    assert refused.status_code == 422
    done = await service.api.delete(path, params={"before_us": 2**63 - 1}, headers=headers)
    assert done.json() == {"tracklets": 0}


async def test_a_key_for_some_cameras_searches_and_forgets_at_these_alone_and_says_why(service):
    persons = await two_people(service)

    async def found(headers, **params):
        request = {"params": params, "content": crop(BLUE), "headers": JPEG | headers}
        answer = (await service.api.post("/v1/gallery/search", **request)).json()
        return answer.get("code") or [it["person_id"] for it in answer["persons"]]

    door, gate = [await with_key(service, Scope.ADMIN, cameras=[it]) for it in ("door", "gate")]
    nowhere = await with_key(service, Scope.PERSONS_SEARCH, cameras=[])
    assert await found(door, **WHY) == await found(nowhere, **WHY) == []
    assert await found(door, **WHY, camera_ids=["door", "gate"]) == "camera_denied"
    assert set(await found(gate, **WHY)) == set(persons.values())
    assert await found(gate) == "malformed", "it says no purpose"
    path = "/v1/gallery/tracklets"
    for params in ({"person_id": persons["blue"]}, {"camera_ids": "gate"}):
        denied = await service.api.delete(path, params=params, headers=door)
        assert (denied.status_code, denied.json()["code"]) == (403, "camera_denied")
    assert await searched(service) == 2


async def test_stats_tell_the_measured_recall_of_every_mode(service):
    await two_people(service)

    async def recall():
        return (await service.api.get("/v1/gallery/stats")).json()["recall"]

    await until(recall, {"exact": 1.0, "balanced": 1.0, "fast": 1.0})


async def test_forgetting_takes_an_admin_and_a_condition(service):
    persons = await two_people(service)
    path = "/v1/gallery/tracklets"
    denied = await service.api.delete(path, params={"person_id": persons["blue"]})
    assert denied.status_code == 403
    admin = await as_admin(service)
    everything = await service.api.delete(path, headers=admin)
    assert (everything.status_code, everything.json()["code"]) == (400, "forgets_everything")
    (hit, _) = (await search(service))["persons"]
    picture = service.folder / "blobs" / hit["sighting"]["crop"]
    assert picture.is_file()
    done = await service.api.delete(path, params={"person_id": persons["blue"]}, headers=admin)
    assert done.json() == {"tracklets": 1}
    await until(lambda: searched(service), 1)
    answer = await search(service)
    assert [found["person_id"] for found in answer["persons"]] == [persons["red"]]
    async with asyncio.timeout(20):
        while picture.exists():
            await asyncio.sleep(0.05)


async def test_another_model_gets_a_space_of_its_own_and_serves_once_that_is_verified(service):
    persons = await two_people(service)
    digest = add_model(service.folder / "models", "second")
    admin = await as_admin(service)
    path = "/v1/gallery/spaces/second"
    begun = await service.api.put(path, params={"switch": True}, headers=admin)
    assert (begun.status_code, begun.json()["state"]) == (202, "filling")

    async def state():
        return (await service.api.get(path)).json()["state"]

    await until(state, "switched")
    assert (await service.api.get(path)).json()["embedded"] == 2
    assert await ActivationMap(service.bus.redis, "reid").read() == {"*": "second"}

    async def model():
        return (await search(service))["model"]

    await until(model, "second")
    answer = await search(service)
    assert answer["persons"][0]["person_id"] == persons["blue"]
    assert answer["searched"] == 2
    # The first space is still there, and neither knows vectors of the other.
    colours = ModelStore(service.folder / "models").load("colours").digest
    assert await (await service.app.state.spaces.of(colours)).gallery.count() == 2
    assert await (await service.app.state.spaces.of(digest)).gallery.count() == 2


async def test_a_space_that_lacks_somebody_is_not_switched_to_until_asked_again(service):
    await two_people(service)
    add_model(service.folder / "models", "second")
    (hit, _) = (await search(service))["persons"]
    picture = service.folder / "blobs" / hit["sighting"]["crop"]
    body = picture.read_bytes()
    picture.unlink()
    admin = await as_admin(service)
    path = "/v1/gallery/spaces/second"
    await service.api.put(path, params={"switch": True}, headers=admin)

    async def state():
        return (await service.api.get(path)).json()["state"]

    await until(state, "failed")
    assert "1 tracklets have no crop" in (await service.api.get(path)).json()["fault"]
    assert await ActivationMap(service.bus.redis, "reid").read() == {}
    picture.write_bytes(body)
    await service.api.put(path, params={"switch": False}, headers=admin)
    await until(state, "verified")
    assert await ActivationMap(service.bus.redis, "reid").read() == {}


async def test_who_comes_or_is_forgotten_while_a_space_is_verified_is_no_fault_of_it(
    service, monkeypatch
):
    persons = await two_people(service)
    digest = add_model(service.folder / "models", "second")
    admin = await as_admin(service)
    reindexing, path = service.app.state.reindexing, "/v1/gallery/spaces/second"
    early = ReindexRow(model="second", model_digest=digest, revision=0)
    assert await reindexing._fault(early) is None, "all have come since"
    early.revision = 1_000
    assert await reindexing._fault(early) == ("2 tracklets have no crop that shows them any longer")
    await service.api.put(path, headers=admin)

    async def state():
        return (await service.api.get(path)).json()["state"]

    await until(state, "verified")
    look = reindexing._vectors

    async def look_late(*asked):
        await service.api.delete(
            "/v1/gallery/tracklets", params={"person_id": persons["blue"]}, headers=admin
        )
        await service.app.state.forgetting.sweep()
        return await look(*asked)

    monkeypatch.setattr(reindexing, "_vectors", look_late)
    assert await reindexing._fault(early) is None


async def test_a_stored_vector_that_its_crop_does_not_give_again_is_found_out(service):
    await two_people(service)
    add_model(service.folder / "models", "second")
    admin = await as_admin(service)
    path = "/v1/gallery/spaces/second"
    await service.api.put(path, headers=admin)

    async def state():
        return (await service.api.get(path)).json()["state"]

    await until(state, "verified")
    database = Database(ReidSettings(citybrain_home=service.folder).database_of("reid"))
    async with database.writing() as session:
        first, second = await session.scalars(select(TrackletVectorRow))
        first.vector, second.vector = second.vector, first.vector
    await database.close()
    await service.api.put(path, headers=admin)
    await until(state, "failed")
    assert "does not come out again" in (await service.api.get(path)).json()["fault"]


async def test_the_service_on_qdrant_answers_as_it_does_in_memory(
    bus, redis_server, tmp_path, monkeypatch
):
    local = AsyncQdrantClient(location=":memory:")
    monkeypatch.setattr("qdrant_client.AsyncQdrantClient", lambda **_: local)
    async with running(bus, redis_server, tmp_path, qdrant_url="http://qdrant:6333") as service:
        persons = await two_people(service)
        answer = await search(service)
        assert answer["persons"][0]["person_id"] == persons["blue"]
        stats = (await service.api.get("/v1/gallery/stats")).json()
        assert (stats["tracklets"], stats["persons"], stats["loaded_from"]) == (2, 2, "server")
        admin = await as_admin(service)
        await service.api.delete(
            "/v1/gallery/tracklets", params={"person_id": persons["blue"]}, headers=admin
        )
        await until(lambda: searched(service), 1)


async def test_what_a_cluster_still_remembers_of_the_forgotten_is_shown_to_nobody(
    bus, redis_server, tmp_path, monkeypatch
):
    local = AsyncQdrantClient(location=":memory:")
    monkeypatch.setattr("qdrant_client.AsyncQdrantClient", lambda **_: local)
    async with running(bus, redis_server, tmp_path, qdrant_url="http://qdrant:6333") as service:
        persons = await two_people(service)
        service.app.state.spaces.follows = False
        database = Database(ReidSettings(citybrain_home=tmp_path).database_of("reid"))
        async with database.writing() as session:
            await session.execute(
                delete(TrackletRow).where(TrackletRow.person_id == persons["blue"])
            )
        await database.close()
        answer = await search(service)
        assert [found["person_id"] for found in answer["persons"]] == [persons["red"]]


async def test_a_cluster_that_is_away_is_unavailable_and_no_fault_of_ours():
    client = AsyncQdrantClient(url="http://127.0.0.1:9", timeout=1, check_compatibility=False)
    with pytest.raises(Unavailable, match="qdrant"):
        await QdrantGallery(client, "d" * 64).open(0)
    await client.close()


async def test_a_collection_that_is_ahead_of_restored_tables_is_made_anew():
    client = AsyncQdrantClient(location=":memory:")
    before = QdrantGallery(client, "d" * 64)
    await before.open(0)
    await before.put(batch(5), 50)
    again = QdrantGallery(client, "d" * 64)
    await again.open(50)
    assert await again.count() == 5
    await again.open(49)
    assert await again.count() == 0
    await client.close()


async def test_a_batch_that_a_dying_leader_has_written_in_part_is_written_again(monkeypatch):
    client = AsyncQdrantClient(location=":memory:")
    leader = QdrantGallery(client, "d" * 64)
    await leader.open(0)
    await leader.put(batch(5), 50)
    upsert, calls = client.upsert, []

    async def dies(*args, **kwargs):
        calls.append(args)
        if len(calls) > 1:
            raise OSError("killed")
        await upsert(*args, **kwargs)

    monkeypatch.setattr("services.reid.gallery.qdrant_gallery.PAGE", 10)
    monkeypatch.setattr(client, "upsert", dies)
    with pytest.raises(Unavailable):
        await leader.put(batch(30, first=100), 80)
    monkeypatch.undo()
    heir = QdrantGallery(client, "d" * 64)
    await heir.open(80)
    assert (heir.revision, await heir.count()) == (50, 15)
    await heir.put(batch(30, first=100), 80)
    again = QdrantGallery(client, "d" * 64)
    await again.open(80)
    assert (again.revision, await again.count()) == (80, 35)
    await client.close()
