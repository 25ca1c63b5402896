from __future__ import annotations

from contextlib import asynccontextmanager
from typing import Annotated

import httpx
import pytest
from fastapi import APIRouter, Security

from shared.auth import (
    SESSION_COOKIE,
    KeyDirectory,
    Principal,
    Scope,
    authenticate,
    digest_of,
    make_key,
)
from shared.bus import Bus
from shared.clock import SECOND_US, now_us
from shared.errors import Denied
from shared.service import create_service
from shared.settings import FloorSettings

router = APIRouter(prefix="/v1")


@router.get("/cameras")
async def list_cameras(
    principal: Annotated[Principal, Security(authenticate, scopes=[Scope.CAMERAS_READ])],
) -> str:
    return principal.name


@router.post("/alerts")
async def act(
    principal: Annotated[
        Principal, Security(authenticate, scopes=[Scope.ALERTS_READ, Scope.ALERTS_ACT])
    ],
) -> str:
    return principal.name


@asynccontextmanager
async def serving(directory):
    @asynccontextmanager
    async def lifespan(app, health):
        app.state.keys = directory
        yield {}

    app = create_service("test", FloorSettings(), routers=[router], lifespan=lifespan)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(
            transport=transport, base_url="https://city.example"
        ) as client:
            yield client


@pytest.fixture
async def directory(bus):
    return KeyDirectory(bus.redis)


@pytest.fixture
async def client(directory):
    async with serving(directory) as client:
        yield client


@pytest.fixture
def issue(directory):
    async def issuing(*scopes, expires_us=None, cameras=None) -> str:
        key = make_key()
        entry = {
            "key_id": key.key_id,
            "name": "tester",
            "scopes": [*scopes],
            "expires_us": expires_us,
            "cameras": cameras,
        }
        await directory.put(key.digest, entry)
        return key.secret

    return issuing


async def test_a_key_is_taken_in_either_header(client, issue):
    secret = await issue(Scope.CAMERAS_READ)
    for headers in ({"X-API-Key": secret}, {"Authorization": f"Bearer {secret}"}):
        answer = await client.get("/v1/cameras", headers=headers)
        assert (answer.status_code, answer.json()) == (200, "tester")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-API-Key": ""},
        {"X-API-Key": "cb_0123_guessed"},
        {"Authorization": "Bearer cb_0123_guessed"},
        {"Authorization": "Basic dGVzdDp0ZXN0"},
        {"Authorization": "Bearer"},
        {"Cookie": f"{SESSION_COOKIE}=guessed"},
    ],
    ids=str,
)
async def test_who_has_no_key_is_not_known(client, headers):
    answer = await client.get("/v1/cameras", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


async def test_every_scope_of_a_route_is_needed(client, issue):
    for scopes, status in (
        ([], 403),
        ([Scope.CAMERAS_READ], 403),
        ([Scope.ALERTS_READ], 403),
        ([Scope.ALERTS_ACT], 403),
        ([Scope.ALERTS_READ, Scope.ALERTS_ACT], 200),
        ([Scope.ADMIN], 200),
    ):
        answer = await client.post("/v1/alerts", headers={"X-API-Key": await issue(*scopes)})
        assert answer.status_code == status, scopes
        if status == 403:
            assert answer.json()["code"] == "scope_missing"


async def test_a_key_that_is_revoked_is_refused_at_once(client, issue, directory):
    secret = await issue(Scope.ADMIN)
    headers = {"X-API-Key": secret}
    assert (await client.get("/v1/cameras", headers=headers)).status_code == 200
    await directory.remove(digest_of(secret))
    assert (await client.get("/v1/cameras", headers=headers)).status_code == 401


async def test_a_key_that_has_expired_is_refused(client, issue):
    alive = await issue(Scope.ADMIN, expires_us=now_us() + 60 * SECOND_US)
    expired = await issue(Scope.ADMIN, expires_us=now_us() - 1)
    assert (await client.get("/v1/cameras", headers={"X-API-Key": alive})).status_code == 200
    answer = await client.get("/v1/cameras", headers={"X-API-Key": expired})
    assert (answer.status_code, answer.json()["code"]) == (401, "key_expired")


async def test_the_whole_directory_is_replaced_at_once(client, issue, directory):
    old, new = await issue(Scope.ADMIN), make_key()
    entry = {"key_id": new.key_id, "name": "n", "scopes": ["admin"], "expires_us": None}
    await directory.replace_all({new.digest: entry | {"cameras": None}})
    assert (await client.get("/v1/cameras", headers={"X-API-Key": old})).status_code == 401
    assert (await client.get("/v1/cameras", headers={"X-API-Key": new.secret})).status_code == 200
    await directory.replace_all({})
    assert (await client.get("/v1/cameras", headers={"X-API-Key": new.secret})).status_code == 401


async def test_a_directory_that_is_away_is_no_reason_to_say_unknown(tmp_path):
    bus = Bus(f"unix://{tmp_path}/no.sock")
    async with serving(KeyDirectory(bus.redis)) as client:
        answer = await client.get("/v1/cameras", headers={"X-API-Key": "any"})
        assert answer.status_code == 503
    await bus.close()


async def test_a_key_for_some_cameras_sees_no_others(directory, issue):
    bound = await directory.verify(await issue(Scope.ADMIN, cameras=["gate"]))
    bound.check_camera("gate")
    with pytest.raises(Denied):
        bound.check_camera("yard")
    nobody = await directory.verify(await issue(Scope.ADMIN, cameras=[]))
    assert not nobody.sees("gate")
    assert (await directory.verify(await issue(Scope.ADMIN))).sees("gate")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "https://city.example", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "https://city.example.evil"}, 403),
        ({"Origin": "https://city.example:8443"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
    ],
    ids=str,
)
async def test_a_session_changes_things_from_its_own_page_only(client, issue, headers, status):
    cookie = {"Cookie": f"{SESSION_COOKIE}={await issue(Scope.ADMIN)}"}
    answer = await client.post("/v1/alerts", headers=headers | cookie)
    assert answer.status_code == status
    if status == 403:
        assert answer.json()["code"] == "foreign_site"


async def test_a_session_may_read_from_anywhere_and_a_key_may_do_all(client, issue):
    secret = await issue(Scope.ADMIN)
    foreign = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    cookie = {"Cookie": f"{SESSION_COOKIE}={secret}"}
    assert (await client.get("/v1/cameras", headers=foreign | cookie)).status_code == 200
    key = {"X-API-Key": secret}
    assert (await client.post("/v1/alerts", headers=foreign | key)).status_code == 200


async def test_secrets_are_kept_by_their_digest_alone(bus, issue):
    secret = await issue(Scope.ADMIN)
    stored = await bus.redis.hgetall("keys.v1")
    assert all(secret.encode() not in key + value for key, value in stored.items())
    assert len({make_key().secret for _ in range(100)}) == 100
