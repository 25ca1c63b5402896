from __future__ import annotations

from contextlib import asynccontextmanager

import httpx
import pytest

from shared import jobs_api
from shared.auth import KeyDirectory, Scope, make_key
from shared.job_worker import JobWorker
from shared.jobs import JobQueue
from shared.service import create_service
from shared.settings import FloorSettings
from tests.unit.shared.floor import Job
from tests.unit.shared.programs import KINDS


@pytest.fixture
async def client(sqlite, bus):
    directory = KeyDirectory(bus.redis)

    @asynccontextmanager
    async def lifespan(app, health):
        app.state.keys = directory
        app.state.jobs = JobQueue("synthetic", sqlite, Job, bus, KINDS)
        yield {}

    app = create_service("test", FloorSettings(), routers=[jobs_api.router], lifespan=lifespan)
    key = make_key()
    entry = {"key_id": key.key_id, "name": "tester", "expires_us": None, "cameras": None}
    await directory.put(key.digest, entry | {"scopes": [Scope.JOBS_READ, Scope.JOBS_WRITE]})
    reader = make_key()
    await directory.put(reader.digest, entry | {"scopes": [Scope.JOBS_READ]})
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        headers = {"X-API-Key": key.secret}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://test", headers=headers
        ) as client:
            client.reader = {"X-API-Key": reader.secret}
            yield client


async def create(client, key=None, **body):
    headers = {} if key is None else {"Idempotency-Key": key}
    return await client.post("/v1/jobs", json={"kind": "count"} | body, headers=headers)


async def test_a_job_is_started_and_can_be_watched_where_it_says(client):
    answer = await create(client, params={"to": 3})
    assert answer.status_code == 202
    job = answer.json()
    assert (job["state"], job["progress"], job["result"]) == ("queued", 0.0, None)
    assert (await client.get(answer.headers["location"])).json() == job


async def test_a_retry_with_its_key_makes_no_second_job(client):
    first = await create(client, "k", params={"to": 3})
    again = await create(client, "k", params={"to": 3})
    assert (again.status_code, again.json()) == (202, first.json())
    other = await create(client, "k", params={"to": 4})
    assert (other.status_code, other.json()["code"]) == (409, "conflict")
    assert (await create(client, "k" * 129, params={"to": 3})).status_code == 422


async def test_what_cannot_be_done_is_refused_with_the_reason(client):
    unknown = await create(client, kind="dance")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_job_kind")
    wrong = await create(client, params={"to": -1, "pause_s": "long"})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "malformed")
    assert {fault["field"] for fault in wrong.json()["errors"]} == {"params.to", "params.pause_s"}
    assert (await create(client)).json()["errors"][0]["field"] == "params.to"
    assert (await client.get("/v1/jobs/none")).json()["code"] == "unknown_job"
    assert (await client.delete("/v1/jobs/none")).status_code == 404


async def test_the_list_is_read_page_by_page_the_newest_first(client):
    made = [(await create(client, params={"to": n})).json()["id"] for n in range(5)]
    seen, query = [], {"limit": 2}
    while True:
        page = (await client.get("/v1/jobs", params=query)).json()
        seen.append([job["id"] for job in page["items"]])
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    newest_first = sorted(made, reverse=True)
    assert seen == [newest_first[:2], newest_first[2:4], newest_first[4:]]
    assert (await client.get("/v1/jobs?limit=0")).status_code == 422
    assert (await client.get("/v1/jobs?state=queued")).status_code == 400


async def test_a_job_is_cancelled_and_a_running_one_is_asked_to_stop(client, sqlite, bus, vital):
    waiting = (await create(client, params={"to": 3})).json()["id"]
    cancelled = (await client.delete(f"/v1/jobs/{waiting}")).json()
    assert (cancelled["state"], cancelled["cancel_requested"]) == ("cancelled", False)
    running = (await create(client, params={"to": 3})).json()["id"]
    assert await JobWorker("synthetic", sqlite, Job, bus, vital).claim() == (running, 1)
    asked = await client.delete(f"/v1/jobs/{running}")
    assert asked.status_code == 202
    assert (asked.json()["state"], asked.json()["cancel_requested"]) == ("running", True)
    assert asked.json()["started_at"] is not None


async def test_kinds_are_listed_with_the_schema_of_their_parameters(client):
    kinds = {kind["kind"]: kind for kind in (await client.get("/v1/job-kinds")).json()}
    assert kinds.keys() == KINDS.keys()
    assert kinds["count"]["parameters"]["properties"]["to"]["minimum"] == 0


async def test_who_may_read_may_not_write(client):
    reader = client.reader
    assert (await client.get("/v1/jobs", headers=reader)).status_code == 200
    assert (await client.get("/v1/job-kinds", headers=reader)).status_code == 200
    for answer in (
        await client.post("/v1/jobs", json={"kind": "count"}, headers=reader),
        await client.delete("/v1/jobs/any", headers=reader),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")


async def test_a_service_that_does_no_jobs_says_why(bus):
    directory, key = KeyDirectory(bus.redis), make_key()
    entry = {"key_id": key.key_id, "name": "tester", "expires_us": None, "cameras": None}
    await directory.put(key.digest, entry | {"scopes": [Scope.ADMIN]})

    @asynccontextmanager
    async def lifespan(app, health):
        app.state.keys, app.state.jobs = directory, "install what does them"
        yield {}

    app = create_service("test", FloorSettings(), routers=[jobs_api.router], lifespan=lifespan)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        headers = {"X-API-Key": key.secret}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://test", headers=headers
        ) as idle:
            for answer in (await create(idle, params={}), await idle.get("/v1/jobs")):
                assert (answer.status_code, answer.json()["code"]) == (503, "not_installed")
                assert answer.json()["detail"] == "install what does them"
