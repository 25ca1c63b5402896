"""Trainings, styles and generations over REST: what is ordered once, and what is refused."""

from __future__ import annotations

import json

import pytest

from services.synthetic.app import create_app
from services.synthetic.catalogue import FILE
from services.synthetic.settings import SyntheticSettings
from services.synthetic.training.registry import SYSTEMS
from shared.auth import Scope
from shared.jobs import JobState
from shared.model_store import ModelStore
from tests.dummy_models import colour_embedder, lightening_translator, noise_painter
from tests.unit.synthetic.studio import letters, running_studio

OPEN = {("get", "/livez"), ("get", "/readyz"), ("get", "/version")}
NOBODY = "0" * 26


@pytest.fixture
async def studio(bus, redis_server, tmp_path):
    async with running_studio(bus, redis_server, tmp_path) as studio:
        yield studio


@pytest.fixture
async def dataset(studio) -> str:
    return (await studio.send(letters())).json()["id"]


def training(dataset: str, **changes) -> dict:
    return {"system": "gan", "dataset_id": dataset, "model": "tiny", "steps": 3} | changes


async def test_the_catalogue_is_the_registrys(studio):
    told = {name: entry.about for name, entry in SYSTEMS.items()}
    assert json.loads(FILE.read_text()) == told, (
        "the systems have changed: python -m services.synthetic.training list --json"
        " > services/synthetic/systems.json"
    )
    listed = (await studio.api.get("/v1/systems")).json()
    assert [one["name"] for one in listed] == list(SYSTEMS)
    assert listed[0]["parameters"]["properties"]["loss"]["type"] == "string"
    one = (await studio.api.get("/v1/systems/gan")).json()
    assert (one["needs"], one["models"]) == (["images"], [])


async def test_a_training_is_ordered_once_by_its_key_and_watched_where_it_says(studio, dataset):
    headers = {"Idempotency-Key": "k"}
    first = await studio.api.post("/v1/trainings", json=training(dataset), headers=headers)
    assert first.status_code == 202, first.text
    again = await studio.api.post("/v1/trainings", json=training(dataset), headers=headers)
    assert (again.status_code, again.json()) == (202, first.json())
    other = await studio.api.post("/v1/trainings", json=training(dataset, seed=1), headers=headers)
    assert (other.status_code, other.json()["code"]) == (409, "conflict")
    where = first.headers["location"]
    assert (await studio.api.get(where)).json() == first.json()
    assert (await studio.api.get(f"{where}/sheet.png")).json()["code"] == "no_sheet"
    listed = (await studio.api.get("/v1/trainings")).json()["items"]
    assert [job["id"] for job in listed] == [first.json()["id"]]
    assert (await studio.api.get("/v1/styles")).json()["items"] == []
    elsewhere = await studio.api.get(where.replace("trainings", "styles"))
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (404, "unknown_job")
    assert (await studio.api.delete(where)).json()["state"] == JobState.CANCELLED


REFUSED = [
    ({"system": "magic"}, 404, "unknown_system"),
    ({"dataset_id": NOBODY}, 404, "unknown_dataset"),
    ({"dataset_id": "../../etc"}, 422, "malformed"),
    ({"settings": {"depth": 3}}, 422, "unknown_setting"),
    ({"settings": {"width": 64}}, 422, "unknown_setting"),
    ({"classes": ["z"]}, 422, "unknown_class"),
    ({"classes": ["a"], "system": "stargan"}, 422, "too_few_classes"),
    ({"model": "../tiny"}, 422, "malformed"),
    ({"steps": 0}, 422, "malformed"),
    ({"classes": ["a", "a"]}, 422, "malformed"),
    ({"seed": 2**63}, 422, "malformed"),
]


async def test_what_cannot_be_learnt_is_refused_at_once(studio, dataset):
    for changes, status, code in REFUSED:
        refused = await studio.api.post("/v1/trainings", json=training(dataset, **changes))
        assert (refused.status_code, refused.json()["code"]) == (status, code), changes
    assert (await studio.api.get("/v1/jobs")).json()["items"] == []


async def test_a_style_takes_a_translator_and_two_cameras(studio, dataset):
    asked = {"dataset_id": dataset, "model": "seen-by-a"}
    good = await studio.api.post("/v1/styles", json=asked)
    assert (good.status_code, good.json()["params"]["system"]) == (202, "stargan")
    for changes, code in (
        ({"system": "gan"}, "malformed"),
        ({"cameras": ["a"]}, "too_few_classes"),
        ({"cameras": ["a", "z"]}, "unknown_class"),
        ({"cameras": ["a", "a"]}, "malformed"),
    ):
        refused = await studio.api.post("/v1/styles", json=asked | changes)
        assert (refused.status_code, refused.json()["code"]) == (422, code)


async def test_a_generation_needs_a_model_that_makes_images(studio):
    asked = {"model": "nobody", "n": 10, "name": "made"}
    refused = await studio.api.post("/v1/generations", json=asked)
    assert (refused.status_code, refused.json()["code"]) == (404, "unknown_model")
    for changes in (
        {"n": 0},
        {"n": 10**9},
        {"label_policy": "lsr"},
        {"epsilon": 0.1},
        {"seed": 2**63},
        {"extractor": "m"},
    ):
        refused = await studio.api.post("/v1/generations", json=asked | changes)
        assert (refused.status_code, refused.json()["code"]) == (422, "malformed")


async def test_a_name_that_a_job_has_claimed_is_refused_at_once(studio, dataset):
    ModelStore(studio.settings.model_folders[0]).claim("tiny", "another")
    refused = await studio.api.post("/v1/trainings", json=training(dataset))
    assert (refused.status_code, refused.json()["code"]) == (409, "model_exists")


async def test_what_cannot_be_measured_is_not_ordered(studio, dataset):
    folder = studio.settings.model_folders[0]
    noise_painter(folder), colour_embedder(folder), lightening_translator(folder)
    asked = {"model": "paints", "n": 6, "name": "made", "dataset_id": dataset}
    for changes, code in (
        ({"extractor": "lightens"}, "no_extractor"),
        ({"extractor": "paints"}, "no_extractor"),
        ({"extractor": "colours", "n": 5}, "too_few_pictures"),
    ):
        refused = await studio.api.post("/v1/generations", json=asked | changes)
        assert (refused.status_code, refused.json()["code"]) == (422, code)
    good = await studio.api.post("/v1/generations", json=asked | {"extractor": "colours"})
    assert good.status_code == 202, good.text


async def test_without_pytorch_it_says_so_and_what_to_install(bus, redis_server, tmp_path):
    why = "install the extra"
    async with running_studio(bus, redis_server, tmp_path, why_not_here=why) as studio:
        (dataset,) = [(await studio.send(letters())).json()["id"]]
        for path, body in (
            ("/v1/trainings", training(dataset)),
            ("/v1/styles", {"dataset_id": dataset, "model": "m"}),
            ("/v1/generations", {"model": "m", "n": 1, "name": "made"}),
        ):
            refused = await studio.api.post(path, json=body)
            assert (refused.status_code, refused.json()["code"]) == (503, "not_installed")
            assert refused.json()["detail"] == why
        assert len((await studio.api.get("/v1/systems")).json()) == len(SYSTEMS)


def routes() -> list[tuple[str, str, frozenset[str]]]:
    """Method, path and scopes of every route."""
    document = create_app(SyntheticSettings()).openapi()
    return [
        (
            method,
            path,
            frozenset(
                s for way in operation.get("security", ()) for each in way.values() for s in each
            ),
        )
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if (method, path) not in OPEN
    ]


async def test_every_route_refuses_strangers_and_keys_without_its_scope(studio):
    studio.api.headers.pop("X-API-Key")
    keys = {scope: await studio.key(*(set(Scope) - {scope, Scope.ADMIN})) for scope in Scope}
    found = routes()
    assert len(found) > 20
    for method, path, scopes in found:
        (scope,) = scopes
        assert scope == (Scope.JOBS_READ if method == "get" else Scope.JOBS_WRITE), path
        filled = path.replace("{", "").replace("}", "")
        nobody = await studio.api.request(method, filled)
        assert (nobody.status_code, nobody.json()["code"]) == (401, "unauthenticated"), path
        wrong = await studio.api.request(method, filled, headers=keys[scope])
        assert (wrong.status_code, wrong.json()["code"]) == (403, "scope_missing"), path
