"""The embedded city with two streets that people walk in, and a real browser in front of it."""

from __future__ import annotations

import asyncio
import json
import shutil
from datetime import UTC, datetime, timedelta

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import async_playwright

from services.synthetic.city.city import City
from services.synthetic.city.plan import CityPlan
from shared.bus import Bus
from shared.images import encode_jpeg
from tests.page.visitor import Visitor

LOOP = {"loop_scope": "package", "scope": "package"}
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
ARGUMENTS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update"]

PLAN = CityPlan(seed=5, duration_s=7, fps=5, cameras=2, people_per_minute=90, anomalies=False)
STREETS = {"city-1": "page-market", "city-2": "page-library"}
CORNERS = ("page-alley", "page-court", "page-yard")
"""Cameras that push nothing, so that a test can speak for the anomaly service."""


@pytest_asyncio.fixture(**LOOP)
async def browser():
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(**LOOP)
async def api(embedded_city):
    """An admin's client of the gateway, as long-lived as the browser."""
    headers = {"X-API-Key": embedded_city.admin_key}
    url = embedded_city.layout.url()
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as client:
        yield client


@pytest_asyncio.fixture(**LOOP)
async def city_bus(embedded_city):
    bus = Bus(embedded_city.layout.environment("gateway")["BUS_URL"])
    yield bus
    await bus.close()


@pytest_asyncio.fixture(**LOOP)
async def streets(browser, api):
    """Seven seconds of two simulated streets, pushed and looked through; ids of the cameras."""
    for camera_id in (*STREETS.values(), *CORNERS):
        body = {"id": camera_id, "name": f"{camera_id} <b>", "site": camera_id}
        (await api.post("/v1/cameras", json=body)).raise_for_status()
    city = City(PLAN)
    start = datetime.now(UTC) - timedelta(seconds=PLAN.duration_s)
    await asyncio.gather(*(_push(api, city, street, start) for street in STREETS))
    async with asyncio.timeout(40):
        while not all([await _is_known(api, camera_id) for camera_id in STREETS.values()]):
            await asyncio.sleep(0.2)
    yield list(STREETS.values())
    for camera_id in (*STREETS.values(), *CORNERS):
        await api.delete(f"/v1/cameras/{camera_id}")


async def _push(api: httpx.AsyncClient, city: City, street: str, start: datetime) -> None:
    """The frames with the people in them, as an ingest worker with a detector would push them."""
    files, metadata = [], []
    for index in range(city.frames):
        frame = await asyncio.to_thread(city.frame, street, index)
        people = [
            {name: getattr(person.box, name) for name in ("x", "y", "width", "height")}
            for person in city.truth(street, index).people
            if person.visible_fraction > 0.6
        ]
        captured_at = start + timedelta(seconds=city.time_s(index))
        files.append(("frames", (str(index), encode_jpeg(frame, 90), "image/jpeg")))
        metadata.append({"captured_at": captured_at.isoformat(), "boxes": people})
    response = await api.post(
        f"/v1/cameras/{STREETS[street]}/frames/batch",
        files=files,
        data={"metadata": json.dumps(metadata)},
    )
    response.raise_for_status()


async def _is_known(api: httpx.AsyncClient, camera_id: str) -> bool:
    """Whether the camera has a curve, and somebody has been seen at it."""
    curve = (await api.get(f"/v1/cameras/{camera_id}/timeline")).json()
    seen = (await api.get("/v1/sightings", params={"camera_ids": camera_id})).json()
    return bool(curve["points"] and seen["items"])


@pytest.fixture
def picture(streets):
    """A frame of a street, for the corners that push none: JPEG bytes, width, height."""
    return encode_jpeg(City(PLAN).frame("city-1", 0), 90), PLAN.width, PLAN.height


@pytest_asyncio.fixture(**LOOP)
async def fresh_ticket(api):
    async def make() -> str:
        return (await api.post("/v1/tickets")).json()["ticket"]

    return make


@pytest_asyncio.fixture(loop_scope="package")
async def visit(browser, streets, embedded_city):
    """Opens a window; what no visitor should ever see fails the test at its end."""
    visitors, contexts = [], []

    async def open_window(**options) -> Visitor:
        settings = {"viewport": {"width": 1440, "height": 900}, "locale": "en-GB"} | options
        context = await browser.new_context(**settings)
        visitor = Visitor(await context.new_page(), embedded_city.layout.url())
        visitor.watch()
        contexts.append(context)
        visitors.append(visitor)
        return visitor

    yield open_window
    for context in contexts:
        await context.close()
    assert [fault for visitor in visitors for fault in visitor.unexcused] == []


@pytest_asyncio.fixture(loop_scope="package")
async def visitor(visit, fresh_ticket):
    """Somebody who has come in."""
    visitor = await visit()
    await visitor.enter(await fresh_ticket())
    await visitor.sees(".tile")
    return visitor
