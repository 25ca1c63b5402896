from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from shared.errors import Corrupt, Missing
from shared.inference import Provider
from shared.model_store import ActivationMap, ModelStore
from shared.rack import ModelRack, RackSettings
from tests.unit.shared.floor import until
from tests.unit.shared.tiny_model import card_of, write_onnx


@pytest.fixture
def store(tmp_path):
    store = ModelStore(tmp_path / "models")
    for factor, name in enumerate(("once", "twice", "thrice"), start=1):
        onnx = write_onnx(tmp_path / f"{name}.onnx", factor)
        store.save(card_of(onnx, name), onnx)
    return store


@pytest.fixture
def watching(store, bus, vital):
    """A rack that follows the activations, as a service runs it."""

    @asynccontextmanager
    async def running(default="once", capacity=4):
        settings = RackSettings(default, provider=Provider.CPU, capacity=capacity)
        made = []

        def make(model, session):
            made.append(model.card.name)
            return session

        rack = ModelRack("anomaly", store, bus, make, settings, vital)
        rack.made = made
        task = asyncio.create_task(rack.watch())
        try:
            yield rack
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    return running


async def serves(rack, camera) -> str:
    return (await rack.for_camera(camera)).model.card.name


async def test_a_rack_is_well_when_its_default_is_loaded(watching, vital):
    async with watching() as rack:
        await until(lambda: vital.reason is None)
        assert rack.made == ["once"]
        loaded = await rack.for_camera("gate")
        assert loaded.context.model_digest == loaded.model.digest
        assert (loaded.context.provider, loaded.context.precision) == ("cpu", "fp32")


async def test_an_activation_is_followed_without_a_restart(watching, bus, vital):
    activations = ActivationMap(bus.redis, "anomaly")
    async with watching() as rack:
        await until(lambda: vital.reason is None)
        await activations.activate(bus, "twice", "gate")
        await until(lambda: _serves(rack, "gate", "twice"))
        assert await serves(rack, "yard") == "once"
        await activations.activate(bus, "thrice")
        await until(lambda: _serves(rack, "yard", "thrice"))
        assert await serves(rack, "gate") == "twice"
        await activations.roll_back(bus, "gate")
        await until(lambda: _serves(rack, "gate", "thrice"))


async def test_an_activation_during_the_first_load_is_heard_of_at_once(
    watching, bus, vital, monkeypatch
):
    activations = ActivationMap(bus.redis, "anomaly")
    read = ActivationMap.read

    async def read_just_before_the_change(self):
        active = await read(self)
        if not active:
            await activations.activate(bus, "twice", "gate")
        return active

    monkeypatch.setattr(ActivationMap, "read", read_just_before_the_change)
    async with watching() as rack:
        await until(lambda: rack.name_for("gate") == "twice", within_s=4)


async def _serves(rack, camera, name) -> bool:
    return await serves(rack, camera) == name


async def test_a_model_is_loaded_once_for_all_who_ask(watching, vital):
    async with watching() as rack:
        await until(lambda: vital.reason is None)
        loaded = await asyncio.gather(*(rack.get("twice") for _ in range(8)))
        assert len({id(one) for one in loaded}) == 1
        assert rack.made == ["once", "twice"]


async def test_no_more_models_are_held_than_there_is_room_for(watching, vital):
    async with watching(capacity=2) as rack:
        await until(lambda: vital.reason is None)
        for name in ("twice", "once", "thrice", "once", "twice"):
            await rack.get(name)
        assert rack.made == ["once", "twice", "thrice", "twice"], "the longest unused one goes"


async def test_a_model_that_cannot_be_had_is_an_error_for_those_who_need_it(
    watching, store, bus, vital
):
    (store.folder / "twice" / "model.onnx").write_bytes(b"no model")
    async with watching() as rack:
        await until(lambda: vital.reason is None)
        with pytest.raises(Corrupt):
            await rack.get("twice")
        with pytest.raises(Missing):
            await rack.get("none")
        assert await serves(rack, "gate") == "once"


async def test_a_rack_without_its_default_is_not_well_and_says_why(watching, vital):
    async with watching("none"):
        await until(lambda: "no model 'none'" in (vital.reason or ""))
