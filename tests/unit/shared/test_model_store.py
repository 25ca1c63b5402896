from __future__ import annotations

import asyncio

import pytest

from shared.errors import Conflict, Corrupt, Missing
from shared.messages import ModelsActivated
from shared.model_store import ActivationMap, ModelStore
from shared.topics import MODELS
from tests.unit.shared.tiny_model import card_of, write_onnx


@pytest.fixture
def store(tmp_path):
    store = ModelStore(tmp_path / "models")
    save(store, tmp_path, "twice", 2.0)
    return store


def save(store, folder, name, factor):
    onnx = write_onnx(folder / "trained" / f"{name}.onnx", factor)
    return store.save(card_of(onnx, name), onnx)


def test_what_was_saved_is_loaded_and_verified(store, tmp_path):
    model = store.load("twice")
    assert model.path.read_bytes() == (tmp_path / "trained" / "twice.onnx").read_bytes()
    assert (model.digest, model.card.name) == (model.card.sha256, "twice")


def test_a_model_that_another_process_has_saved_is_seen(store, tmp_path):
    assert store.names == ("twice",)
    save(ModelStore(store.folder), tmp_path, "thrice", 3.0)
    assert store.names == ("thrice", "twice")
    assert store.load("thrice").card.name == "thrice"


def test_models_of_other_folders_are_read_and_never_written(store, tmp_path):
    both = ModelStore(tmp_path / "own", store.folder, tmp_path / "none")
    save(both, tmp_path, "thrice", 3.0)
    assert both.names == ("thrice", "twice")
    assert both.load("twice").path.parent.parent == store.folder
    assert store.names == ("twice",)
    save(both, tmp_path, "twice", 5.0)
    assert both.load("twice").path.parent.parent == tmp_path / "own", "the first folder's counts"
    assert store.load("twice").digest != both.load("twice").digest


def test_a_newer_model_takes_the_place_of_the_old_one(store, tmp_path):
    old = store.load("twice").digest
    assert save(store, tmp_path, "twice", 4.0).digest != old
    assert store.load("twice").digest != old
    assert {path.name for path in (store.folder / "twice").iterdir()} == {"card.json", "model.onnx"}


def test_a_file_that_is_not_the_card_s_is_never_served(store):
    file = store.folder / "twice" / "model.onnx"
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    with pytest.raises(Corrupt) as corrupt:
        store.load("twice")
    assert corrupt.value.code == "model_checksum"
    file.unlink()
    with pytest.raises(Corrupt) as corrupt:
        store.load("twice")
    assert corrupt.value.code == "model_missing"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "twice"}'])
def test_a_broken_card_is_corrupt(store, text):
    (store.folder / "twice" / "card.json").write_text(text)
    with pytest.raises(Corrupt) as corrupt:
        store.load("twice")
    assert corrupt.value.code == "model_card"


@pytest.mark.parametrize(
    "name", ["none", "", ".", "..", "../elsewhere", "twice/", "twice/../twice"]
)
def test_an_unknown_model_is_missing_and_the_known_ones_are_named(store, tmp_path, name):
    save(ModelStore(tmp_path), tmp_path, "elsewhere", 9.0)
    with pytest.raises(Missing, match="there are: twice"):
        store.load(name)


def refused(act, *words) -> str:
    with pytest.raises(Conflict) as conflict:
        act(*words)
    assert conflict.value.code == "model_exists"
    return str(conflict.value)


def test_a_name_is_one_holders_until_it_is_released(store, tmp_path):
    store.claim("thrice", "job-1")
    store.claim("thrice", "job-1")
    assert store.names == ("twice",), "a claim alone is no model"
    other = ModelStore(store.folder)
    assert "job-1" in refused(other.claim, "thrice", "job-2")
    refused(other.raise_if_taken, "thrice")
    other.release("thrice", "job-2")
    refused(other.claim, "thrice", "job-2")
    store.release("thrice", "job-1")
    assert not (store.folder / "thrice").exists()
    other.claim("thrice", "job-2")
    save(other, tmp_path, "thrice", 3.0)
    other.release("thrice", "job-2")
    assert other.load("thrice").card.name == "thrice"
    assert refused(store.claim, "thrice", "job-1") == refused(store.raise_if_taken, "thrice")
    assert [path.name for path in (store.folder / "thrice").glob(".*")] == []


def test_the_name_of_a_model_in_another_folder_is_taken_too(store, tmp_path):
    both = ModelStore(tmp_path / "own", store.folder)
    refused(both.claim, "twice", "job-1")
    assert not (tmp_path / "own" / "twice").exists()


def test_a_folder_that_is_not_there_has_no_models(tmp_path):
    with pytest.raises(Missing, match="there are: none"):
        ModelStore(tmp_path / "none").load("twice")


@pytest.fixture
def activations(bus):
    return ActivationMap(bus.redis, "anomaly")


async def announced(bus) -> list[str]:
    entries = await bus.redis.xrange(MODELS.key())
    return [ModelsActivated.unpack(fields[b"body"]).service for _, fields in entries]


async def test_an_activation_is_kept_and_announced(bus, activations):
    await activations.activate(bus, "twice")
    await activations.activate(bus, "thrice", "gate")
    assert await activations.read() == {"*": "twice", "gate": "thrice"}
    assert await ActivationMap(bus.redis, "reid").read() == {}
    assert await announced(bus) == ["anomaly", "anomaly"]


async def test_a_rollback_leads_to_the_model_before(bus, activations):
    for model in ("first", "second", "third"):
        await activations.activate(bus, model)
    await activations.roll_back(bus)
    assert await activations.read() == {"*": "second"}
    await activations.roll_back(bus)
    assert await activations.read() == {"*": "first"}
    await activations.roll_back(bus)
    assert await activations.read() == {}
    with pytest.raises(Missing):
        await activations.roll_back(bus)
    assert len(await announced(bus)) == 6, "what did not happen is not told"


async def test_a_camera_that_is_rolled_back_falls_back_to_what_all_use(bus, activations):
    await activations.activate(bus, "twice")
    await activations.activate(bus, "thrice", "gate")
    await activations.roll_back(bus, "gate")
    assert await activations.read() == {"*": "twice"}


async def test_activations_of_many_at_once_are_all_kept(bus, activations):
    cameras = [f"c{n}" for n in range(20)]
    await asyncio.gather(*(activations.activate(bus, "twice", camera) for camera in cameras))
    assert await activations.read() == dict.fromkeys(cameras, "twice")
    await asyncio.gather(*(activations.activate(bus, f"m{n}", "gate") for n in range(8)))
    history = set()
    for _ in range(8):
        history.add((await activations.read())["gate"])
        await activations.roll_back(bus, "gate")
    assert history == {f"m{n}" for n in range(8)}
