"""Generated from the OpenAPI document: every route refuses whom it should."""

from __future__ import annotations

import httpx
import pytest

from services.gateway.app import create_app
from services.gateway.settings import GatewaySettings
from shared.auth import SESSION_COOKIE, Scope

OPEN = {("get", "/livez"), ("get", "/readyz"), ("get", "/version"), ("post", "/v1/sessions")}
"""Anybody may ask these: the vitals, and the one place where a ticket is spent."""


def routes() -> list[tuple[str, str, frozenset[str]]]:
    """Method, path and scopes of every route."""
    document = create_app(GatewaySettings()).openapi()
    found = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            scopes = {
                scope for way in operation.get("security", ()) for s in way.values() for scope in s
            }
            found.append((method, path, frozenset(scopes)))
    return found


ROUTES = routes()


def fill(path: str) -> str:
    """The path with something in place of its parameters."""
    for name in (
        "camera_id",
        "alert_id",
        "incident_id",
        "person_id",
        "change_id",
        "key_id",
        "letter_id",
        "training_id",
    ):
        path = path.replace(f"{{{name}}}", "gate")
    return path.replace("{key}", "evidence/gate/x.jpg").replace("{key:path}", "evidence/gate/x.jpg")


def test_every_route_but_the_open_ones_declares_a_scope():
    without = {(method, path) for method, path, scopes in ROUTES if not scopes}
    assert without == OPEN


GUARDED = [route for route in ROUTES if (route[0], route[1]) not in OPEN]


@pytest.mark.parametrize(
    ("method", "path", "scopes"), GUARDED, ids=[f"{m} {p}" for m, p, _ in GUARDED]
)
async def test_a_route_refuses_strangers_and_keys_without_its_scope(gateway, method, path, scopes):
    gateway.api.headers.pop("X-API-Key")
    nobody = await gateway.api.request(method, fill(path))
    assert nobody.status_code == 401, nobody.text
    assert nobody.json()["code"] == "unauthenticated"
    others = [scope for scope in Scope if scope not in scopes | {Scope.ADMIN}]
    wrong = await gateway.api.request(method, fill(path), headers=await gateway.key(*others))
    assert wrong.status_code == 403, wrong.text
    assert wrong.json()["code"] == "scope_missing"


CAMERA_ROUTES = [route for route in GUARDED if "{camera_id}" in route[1]]


@pytest.mark.parametrize(
    ("method", "path", "scopes"), CAMERA_ROUTES, ids=[f"{m} {p}" for m, p, _ in CAMERA_ROUTES]
)
async def test_a_key_for_one_camera_is_refused_at_another(gateway, method, path, scopes):
    await gateway.add_camera("gate")
    headers = await gateway.key(*scopes, cameras=["door"])
    body = {"json": {}} if method == "patch" else {}
    response = await gateway.api.request(method, fill(path), headers=headers, **body)
    assert (response.status_code, response.json()["code"]) == (403, "camera_denied")


async def test_lists_show_a_key_only_its_cameras(gateway):
    for camera in ("gate", "door"):
        await gateway.add_camera(camera)
    headers = await gateway.key(Scope.CAMERAS_READ, cameras=["door"])
    page = (await gateway.api.get("/v1/cameras", headers=headers)).json()
    assert [camera["id"] for camera in page["items"]] == ["door"]


async def test_blobs_of_other_cameras_and_what_is_not_for_looking_at_are_refused(gateway):
    await gateway.city.blobs.put("evidence/gate/a/1.jpg", b"picture")
    await gateway.city.blobs.put("audit/1.jpg", b"searched for")
    only_door = await gateway.key(Scope.PERSONS_READ, cameras=["door"])
    assert (await gateway.api.get("/v1/blobs/evidence/gate/a/1.jpg")).content == b"picture"
    refused = await gateway.api.get("/v1/blobs/evidence/gate/a/1.jpg", headers=only_door)
    assert refused.status_code == 403
    assert (await gateway.api.get("/v1/blobs/audit/1.jpg")).status_code == 403
    assert (await gateway.api.get("/v1/blobs/evidence/../../keys")).status_code in (403, 404)


async def test_a_revoked_key_is_refused_at_once(gateway):
    made = (
        await gateway.api.post("/v1/api-keys", json={"name": "x", "scopes": ["cameras:read"]})
    ).json()
    headers = {"X-API-Key": made["secret"]}
    assert (await gateway.api.get("/v1/cameras", headers=headers)).status_code == 200
    assert (await gateway.api.delete(f"/v1/api-keys/{made['id']}")).status_code == 204
    refused = await gateway.api.get("/v1/cameras", headers=headers)
    assert refused.status_code == 401
    listed = (await gateway.api.get("/v1/api-keys")).json()
    assert made["id"] not in {key["id"] for key in listed}
    assert all("secret" not in key for key in listed)


async def test_an_expired_key_is_refused(gateway):
    asked = {"name": "x", "scopes": ["cameras:read"], "valid_s": 0.001}
    made = (await gateway.api.post("/v1/api-keys", json=asked)).json()
    refused = await gateway.api.get("/v1/cameras", headers={"X-API-Key": made["secret"]})
    assert (refused.status_code, refused.json()["code"]) == (401, "key_expired")


async def test_secrets_are_kept_by_their_digest_alone(gateway, tmp_path):
    made = (
        await gateway.api.post("/v1/api-keys", json={"name": "x", "scopes": ["cameras:read"]})
    ).json()
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("gateway.db*"))
    assert made["secret"].encode() not in stored
    assert made["id"].encode() in stored


async def test_keys_come_back_when_redis_has_lost_them(gateway):
    await gateway.city.bus.redis.flushall()
    await gateway.city.keys.project()
    assert (await gateway.api.get("/v1/cameras")).status_code == 200


async def spend(gateway, ticket: str) -> httpx.Response:
    return await gateway.api.post("/v1/sessions", json={"ticket": ticket})


async def test_a_ticket_opens_one_session_and_no_more(gateway):
    ticket = (await gateway.api.post("/v1/tickets")).json()["ticket"]
    gateway.api.headers.pop("X-API-Key")
    opened = await spend(gateway, ticket)
    assert opened.status_code == 201
    cookie = opened.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert (await gateway.api.get("/v1/cameras")).status_code == 200
    gateway.api.cookies.clear()
    again = await spend(gateway, ticket)
    assert (again.status_code, again.json()["code"]) == (401, "bad_ticket")


async def test_a_ticket_is_no_key(gateway):
    ticket = (await gateway.api.post("/v1/tickets")).json()["ticket"]
    response = await gateway.api.get("/v1/cameras", headers={"X-API-Key": ticket})
    assert response.status_code == 401


async def test_a_session_changes_nothing_for_a_foreign_site(gateway):
    _, key = await gateway.city.keys.issue("page", [Scope.ADMIN], kind="session", valid_s=60)
    gateway.api.headers.pop("X-API-Key")
    gateway.api.cookies.set(SESSION_COOKIE, key.secret)
    camera = {"id": "gate", "name": "Gate"}
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}):
        response = await gateway.api.post("/v1/cameras", json=camera, headers=headers)
        assert (response.status_code, response.json()["code"]) == (403, "foreign_site")
    own = {"Sec-Fetch-Site": "same-origin", "Origin": "http://gateway"}
    assert (await gateway.api.post("/v1/cameras", json=camera, headers=own)).status_code == 201
