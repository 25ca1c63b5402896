from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import Annotated

import httpx
import pytest
import uvicorn
from fastapi import APIRouter, Form, Query, Request, UploadFile
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from redis.exceptions import ConnectionError as RedisAway
from starlette.exceptions import HTTPException

from shared import errors
from shared.bus import Settlement
from shared.consumer import Consumer
from shared.errors import Fault
from shared.messages import JobWaiting
from shared.service import create_service
from shared.settings import FloorSettings
from shared.topics import MODELS, SCORES, SIGHTINGS, Group
from tests.unit.shared.floor import until

LIMIT = 1_000
TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-01"

RAISED = {
    "malformed": errors.Malformed("no form", faults=(Fault("body.x", "missing", "it is missing"),)),
    "too large": errors.TooLarge("too large", code="image_too_large"),
    "unsupported": errors.UnsupportedMedia("no image"),
    "invalid": errors.Invalid("no"),
    "missing": errors.Missing("no camera", code="unknown_camera"),
    "stale": errors.Stale("read it again"),
    "conflict": errors.Conflict("there is one"),
    "unauthenticated": errors.Unauthenticated("who are you"),
    "denied": errors.Denied("not you"),
    "overloaded": errors.Overloaded("later", retry_after_s=7, extra={"accepted": 3}),
    "unavailable": errors.Unavailable("the database is away"),
    "lease": errors.LeaseLost("somebody else"),
    "corrupt": errors.Corrupt("not what was stored"),
    "redis": RedisAway("away"),
    "http": HTTPException(418, "a teapot"),
    "bug": ZeroDivisionError("division by zero"),
}

router = APIRouter(prefix="/v1")


class Thing(BaseModel):
    name: str


@router.get("/raise/{what}")
async def raise_it(what: str) -> None:
    raise RAISED[what]


@router.get("/things")
async def list_things(
    limit: Annotated[int, Query(ge=1)] = 1, color: Annotated[str, Query(alias="colour")] = ""
) -> dict[str, object]:
    return {"limit": limit, "colour": color}


@router.post("/things")
async def add_thing(thing: Thing) -> Thing:
    return thing


@router.post("/files")
async def add_file(file: UploadFile, name: Annotated[str, Form()]) -> dict[str, object]:
    return {"name": name, "bytes": len(await file.read())}


@router.post("/streams")
async def add_stream(request: Request) -> int:
    return sum([len(chunk) async for chunk in request.stream()])


@router.post("/unread")
async def ignore_the_body() -> str:
    return "who cares"


@router.post("/conversations")
async def talk(request: Request) -> StreamingResponse:
    async def answers():
        async for chunk in request.stream():
            yield chunk

    return StreamingResponse(answers())


@asynccontextmanager
async def no_tasks(app, health):
    yield {}


@asynccontextmanager
async def running(lifespan=no_tasks):
    settings = FloorSettings()
    app = create_service(
        "test", settings, routers=[router], lifespan=lifespan, max_body_bytes=LIMIT
    )
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            client.app = app
            yield client


@pytest.fixture
async def client():
    async with running() as client:
        yield client


# Errors leave as problem documents


@pytest.mark.parametrize(
    ("what", "status", "code"),
    [
        ("malformed", 422, "malformed"),
        ("too large", 413, "image_too_large"),
        ("unsupported", 415, "unsupported_media"),
        ("invalid", 400, "invalid"),
        ("missing", 404, "unknown_camera"),
        ("stale", 412, "stale_version"),
        ("conflict", 409, "conflict"),
        ("unauthenticated", 401, "unauthenticated"),
        ("denied", 403, "denied"),
        ("overloaded", 429, "overloaded"),
        ("unavailable", 503, "unavailable"),
        ("lease", 503, "lease_lost"),
        ("corrupt", 500, "corrupt"),
        ("redis", 503, "unavailable"),
        ("http", 418, "http_error"),
        ("bug", 500, "internal"),
    ],
)
async def test_every_error_leaves_as_a_problem(client, what, status, code):
    answer = await client.get(f"/v1/raise/{what}", headers={"X-Request-ID": "r-1"})
    problem = answer.json()
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"] == "r-1"
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["request_id"] == "r-1"
    assert problem["instance"] == f"/v1/raise/{what}".replace(" ", "%20")
    assert problem["title"]
    assert problem["type"] == "about:blank"


async def test_a_problem_tells_what_to_do(client):
    overloaded = await client.get("/v1/raise/overloaded")
    assert overloaded.headers["retry-after"] == "7"
    assert overloaded.json()["accepted"] == 3
    assert "retry-after" in (await client.get("/v1/raise/unavailable")).headers
    assert (await client.get("/v1/raise/unauthenticated")).headers["www-authenticate"] == "Bearer"
    malformed = (await client.get("/v1/raise/malformed")).json()
    assert malformed["errors"] == [
        {"field": "body.x", "code": "missing", "message": "it is missing"}
    ]


async def test_a_bug_is_told_to_the_log_and_not_to_the_caller(client, capsys):
    answer = await client.get("/v1/raise/bug", headers={"X-Request-ID": "r-bug"})
    assert "division" not in answer.text
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (line,) = [line for line in told if line["event"] == "unexpected_error"]
    assert line["request_id"] == "r-bug"
    assert "ZeroDivisionError" in line["exception"]


async def test_what_the_framework_refuses_is_a_problem_too(client):
    answers = {
        422: await client.post("/v1/things", json={"nome": "x"}),
        404: await client.get("/v1/nothing"),
        405: await client.delete("/v1/things"),
    }
    for status, answer in answers.items():
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
    assert answers[422].json()["errors"][0]["field"] == "body.name"
    assert answers[405].headers["allow"]
    no_json = await client.post(
        "/v1/things", content=b"{", headers={"Content-Type": "application/json"}
    )
    assert (no_json.status_code, no_json.json()["code"]) == (422, "malformed")


# Requests


async def test_a_misspelt_filter_is_refused_and_the_known_ones_are_named(client):
    assert (await client.get("/v1/things?colour=red&limit=3")).json() == {
        "limit": 3,
        "colour": "red",
    }
    answer = await client.get("/v1/things?color=red&limit=3")
    assert (answer.status_code, answer.json()["code"]) == (400, "unknown_parameter")
    assert "colour, limit" in answer.json()["detail"]
    assert [fault["field"] for fault in answer.json()["errors"]] == ["query.color"]
    assert (await client.post("/v1/things?dry_run=1", json={"name": "x"})).status_code == 400
    assert (await client.get("/livez?verbose=1")).status_code == 400


async def test_a_request_has_an_id(client):
    assert (await client.get("/livez", headers={"X-Request-ID": "mine"})).headers[
        "x-request-id"
    ] == "mine"
    made = [(await client.get("/livez")).headers["x-request-id"] for _ in range(2)]
    assert made[0] != made[1]
    long = (await client.get("/livez", headers={"X-Request-ID": "x" * 1_000})).headers
    assert len(long["x-request-id"]) == 128
    odd = await client.get("/livez", headers={"X-Request-ID": b"caf\xe9"})
    assert odd.headers["x-request-id"].encode("latin-1") == b"caf\xe9"


async def chunks(total: int, start: bytes = b""):
    yield start
    for _ in range(total // 100):
        yield b"x" * 100


PART = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
BODIES = {
    "json": ("/v1/things", "application/json", b'{"name": "'),
    "form": ("/v1/files", "multipart/form-data; boundary=x", PART),
    "stream": ("/v1/streams", "application/octet-stream", b""),
}


@pytest.mark.parametrize("kind", BODIES)
async def test_a_body_that_announces_too_much_is_refused(client, kind):
    path, content_type, begin = BODIES[kind]
    content = begin + b"x" * LIMIT + b"x"
    answer = await client.post(path, content=content, headers={"Content-Type": content_type})
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("kind", BODIES)
async def test_a_body_that_grows_too_large_is_cut_off(client, kind):
    path, content_type, begin = BODIES[kind]
    content = chunks(LIMIT + 100, begin)
    answer = await client.post(path, content=content, headers={"Content-Type": content_type})
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


async def test_a_body_of_the_largest_size_is_taken(client):
    assert (await client.post("/v1/streams", content=b"x" * LIMIT)).json() == LIMIT
    assert (await client.post("/v1/streams", content=chunks(LIMIT))).json() == LIMIT


async def test_too_large_a_body_is_refused_even_where_nobody_reads_it(client):
    answer = await client.post("/v1/unread", content=b"x" * (LIMIT + 1))
    assert answer.status_code == 413


async def test_a_limit_that_is_passed_in_mid_answer_breaks_the_answer_off(client):
    async with asyncio.timeout(20):
        answer = await client.post("/v1/conversations", content=chunks(LIMIT + 500))
    assert len(answer.content) <= LIMIT


async def test_over_a_real_connection_too(client):
    config = uvicorn.Config(client.app, port=0, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as caller:
        for content in (b"x" * 5_000_000, chunks(500_000)):
            answer = await caller.post("/v1/streams", content=content)
            assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
        assert (await caller.post("/v1/streams", content=b"xyz")).json() == 3
    server.should_exit = True
    await serving


# Traces


def publishing(bus):
    @asynccontextmanager
    async def lifespan(app, health):
        @app.post("/v1/publications")
        async def publish() -> None:
            await bus.publish(MODELS, JobWaiting(job_id="1"))
            await bus.publish(SCORES, JobWaiting(job_id="2"))

        yield {}

    return lifespan


async def test_a_trace_goes_from_the_request_through_the_bus(bus, vital):
    async def pass_on(message, _):
        return Settlement(outputs=((SIGHTINGS, message),))

    async with running(publishing(bus)) as client:
        await client.post("/v1/publications", headers={"traceparent": TRACEPARENT})
        assert await traces(bus, MODELS) == [TRACE]
        consumer = Consumer(bus, SCORES, Group.COMPOSER, JobWaiting, pass_on, None, vital)
        consuming = asyncio.create_task(consumer.run())
        await until(lambda: _heard(bus))
        consuming.cancel()
        await asyncio.gather(consuming, return_exceptions=True)
    assert await traces(bus, SIGHTINGS) == [TRACE]


async def _heard(bus) -> bool:
    return await bus.backlog(SIGHTINGS) == 1


async def traces(bus, topic) -> list[str]:
    """The trace ids of what lies on a stream."""
    entries = await bus.redis.xrange(topic.key())
    return [fields[b"traceparent"].decode().split("-")[1] for _, fields in entries]


# Vital signs


async def test_the_process_lives_and_says_what_it_is(client):
    assert (await client.get("/livez")).json() == {"status": "alive"}
    assert (await client.get("/version")).json()["service"] == "test"
    assert "http_request" in (await client.get("/metrics")).text
    paths = (await client.get("/openapi.json")).json()["paths"]
    assert {"/livez", "/readyz", "/version", "/v1/things"} <= paths.keys()


async def test_a_service_is_ready_when_all_its_parts_are_and_says_what_is_missing():
    vitals = {}

    @asynccontextmanager
    async def lifespan(app, health):
        vitals.update(bus=health.vital("bus"), model=health.vital("model"))
        yield {}

    async with running(lifespan) as client:
        starting = await client.get("/readyz")
        assert starting.status_code == 503
        assert starting.json()["reasons"] == {"bus": "starting", "model": "starting"}
        vitals["bus"].well()
        vitals["model"].ailing("its checksum is wrong")
        assert (await client.get("/readyz")).json()["reasons"] == {"model": "its checksum is wrong"}
        vitals["model"].well()
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()) == (200, {"ready": True, "reasons": {}})


async def test_a_task_that_dies_makes_unready_and_is_started_again():
    lives = []

    @asynccontextmanager
    async def lifespan(app, health):
        async def work():
            lives.append(len(lives))
            if len(lives) == 1:
                raise ZeroDivisionError("oh")
            health.vital("work").well()
            await asyncio.Event().wait()

        yield {"work": work}

    async with running(lifespan) as client:
        await until(lambda: lives)
        await asyncio.sleep(0)
        answer = await client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["reasons"] == {"work": "died: ZeroDivisionError: oh"}
        await until(lambda: len(lives) == 2)
        assert (await client.get("/readyz")).status_code == 200


async def test_a_task_that_trips_over_a_cancelled_future_is_started_again_too():
    lives = []

    @asynccontextmanager
    async def lifespan(app, health):
        async def work():
            lives.append(len(lives))
            health.vital("work").well()
            abandoned = asyncio.get_running_loop().create_future()
            abandoned.cancel()
            await abandoned

        yield {"work": work}

    async with running(lifespan) as client:
        await until(lambda: lives)
        await asyncio.sleep(0.05)
        reasons = (await client.get("/readyz")).json()["reasons"]
        assert reasons["work"].startswith("died: CancelledError")
        await until(lambda: len(lives) == 2)


async def test_a_task_that_ends_is_not_well_either():
    @asynccontextmanager
    async def lifespan(app, health):
        async def work():
            health.vital("work").well()

        yield {"work": work}

    async with running(lifespan) as client:
        await asyncio.sleep(0.05)
        assert (await client.get("/readyz")).json()["reasons"] == {"work": "ended"}


async def test_at_the_end_the_tasks_end_before_what_they_rest_on():
    told = []

    @asynccontextmanager
    async def lifespan(app, health):
        async def work():
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.05)
                told.append("the task has ended")

        yield {"work": work}
        told.append("the database is closed")

    async with running(lifespan):
        await asyncio.sleep(0.05)
    assert told == ["the task has ended", "the database is closed"]
