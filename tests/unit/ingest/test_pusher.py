"""Against a gateway that misbehaves on purpose, over real HTTP."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import cv2
import numpy as np
import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from services.ingest.feeding import Pace, feed
from services.ingest.pusher import Push, Pusher, Refused
from services.ingest.sources import open_source

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class MoodyGateway:
    """Answers as its moods say, then takes everything."""

    def __init__(self, *moods: int) -> None:
        self.moods = list(moods)
        self.frames: list[dict] = []
        self.app = FastAPI()
        self.app.post("/v1/cameras/gate/frames")(self.take)
        self.app.post("/v1/cameras/gate/frames/batch")(self.take_batch)

    def mood(self):
        status = self.moods.pop(0) if self.moods else 202
        if status == 202:
            return None
        headers = {"Retry-After": "0.05"} if status in (429, 503) else {}
        return JSONResponse({"code": f"mood_{status}", "detail": "no"}, status, headers=headers)

    async def take(self, request: Request):
        body = await request.body()
        if answer := self.mood():
            return answer
        self.frames.append({"at": request.query_params["captured_at"], "size": len(body)})
        return JSONResponse({"disposition": "accepted"}, 202)

    async def take_batch(self, request: Request):
        async with request.form() as form:
            count = len(form.getlist("frames"))
        if answer := self.mood():
            return answer
        self.frames += [{}] * count
        accepted = [{"disposition": "thinned"}] * (count - 1)
        return {"accepted": accepted, "refused": [{"index": count - 1, "code": "frame_late"}]}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@asynccontextmanager
async def serving(app, port):
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield
    finally:
        server.should_exit = True
        await task


@asynccontextmanager
async def pushing(gateway):
    port = free_port()
    told = []
    async with serving(gateway.app, port):
        pusher = Pusher(f"http://127.0.0.1:{port}", "key", "gate", tell=told.append)
        pusher.told = told
        yield pusher
        await pusher.close()


def push(n: int = 0) -> Push:
    return Push(b"\xff\xd8\xff" + bytes(n), NOW + timedelta(seconds=n))


async def test_a_busy_gateway_is_waited_for_as_long_as_it_says(monkeypatch):
    gateway = MoodyGateway(429, 429, 503)
    async with pushing(gateway) as pusher:
        await pusher.push([push()])
    assert len(gateway.frames) == 1
    assert (pusher.tally.accepted, pusher.tally.waits) == (1, 3)
    assert "429" in pusher.told[0]


async def test_a_gateway_that_is_away_is_waited_for():
    gateway, port = MoodyGateway(), free_port()
    pusher = Pusher(f"http://127.0.0.1:{port}", "key", "gate")
    pushed = asyncio.create_task(pusher.push([push()]))
    await asyncio.sleep(0.3)
    assert not pushed.done()
    async with serving(gateway.app, port):
        await asyncio.wait_for(pushed, 20)
    await pusher.close()
    assert len(gateway.frames) == 1


@pytest.mark.parametrize("status", [409, 413, 415, 422])
async def test_a_refused_frame_is_counted_and_the_next_one_goes_on(status):
    gateway = MoodyGateway(status)
    async with pushing(gateway) as pusher:
        await pusher.push([push(0)])
        await pusher.push([push(1)])
    assert pusher.tally.refused == {f"mood_{status}": 1}
    assert pusher.tally.accepted == 1


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_a_wrong_key_or_camera_stops_at_once_and_says_why(status):
    async with pushing(MoodyGateway(status)) as pusher:
        with pytest.raises(Refused, match=f"mood_{status}"):
            await pusher.push([push()])


async def test_a_batch_is_told_frame_by_frame():
    async with pushing(MoodyGateway()) as pusher:
        await pusher.push([push(n) for n in range(5)])
    assert (pusher.tally.thinned, pusher.tally.refused) == (4, {"frame_late": 1})
    assert pusher.tally.done == 5


async def test_footage_is_pushed_at_its_pace_with_its_times(tmp_path):
    for n in range(6):
        cv2.imwrite(str(tmp_path / f"{n}.jpg"), np.full((48, 64, 3), n * 20, np.uint8))
    gateway = MoodyGateway()
    async with pushing(gateway) as pusher:
        began = asyncio.get_running_loop().time()
        await feed(open_source(str(tmp_path), 10), pusher, Pace(realtime=True, start=NOW))
        took_s = asyncio.get_running_loop().time() - began
    times = [datetime.fromisoformat(frame["at"]) for frame in gateway.frames]
    assert times == [NOW + timedelta(seconds=n / 10) for n in range(6)]
    assert took_s >= 0.5


async def test_fast_footage_goes_in_batches_and_ends_now(tmp_path):
    for n in range(10):
        cv2.imwrite(str(tmp_path / f"{n}.jpg"), np.full((48, 64, 3), n * 20, np.uint8))
    gateway, seen = MoodyGateway(), []
    async with pushing(gateway) as pusher:
        source = open_source(str(tmp_path), 10)
        await feed(
            source, pusher, Pace(realtime=False, batch=4), lambda: seen.append(pusher.tally.done)
        )
    assert seen == [4, 8, 10]
