"""The gateway dies and comes back: the page says so, and misses nothing."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.page.trouble import make_trouble
from tests.page.visitor import PATIENCE_MS

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="package")]

RESTART_MS = 60_000


def process_of_the_gateway(port: int) -> int:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().split(b"\0")
            environment = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"services.gateway" in command and f"PORT={port}".encode() in environment:
            return int(folder.name)
    raise AssertionError("the gateway does not run")


async def test_an_alert_raised_while_the_gateway_is_away_is_shown_when_it_is_back(
    visitor, embedded_city, city_bus, picture
):
    visitor.excused = ["ERR_", "503"]
    connection = visitor.at(".pill.connection")
    await expect(connection).to_have_text("Live", timeout=PATIENCE_MS)
    await visitor.page.evaluate("window.stayed = true")
    os.kill(process_of_the_gateway(embedded_city.layout.ports["gateway"]), signal.SIGKILL)
    await expect(connection).to_contain_text("Connection lost", timeout=PATIENCE_MS)
    await make_trouble(city_bus, "page-court", *picture)
    await expect(connection).to_have_text("Live", timeout=RESTART_MS)
    alert = ".alert:has(.name:text-is('page-court <b>'))"
    await visitor.sees(alert, "Open")
    await visitor.sees_picture(f"{alert} .frame img")
    assert await visitor.page.evaluate("window.stayed")
