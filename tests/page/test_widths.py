"""From a telephone to a wall of screens: nothing has to be scrolled sideways."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="package")]


async def test_a_telephone_shows_one_panel_at_a_time_and_never_scrolls_sideways(
    visit, fresh_ticket, streets, api
):
    visitor = await visit(viewport={"width": 380, "height": 800}, has_touch=True)
    await visitor.enter(await fresh_ticket())
    for name in ("cameras", "people", "search", "alerts"):
        await visitor.at(f".tabs button[value={name}]").click()
        await visitor.sees(f"[data-panel={name}]")
        await expect(visitor.at(".panel:visible")).to_have_count(1)
        assert not await visitor.overflows(), name
    seen = (await api.get("/v1/sightings", params={"camera_ids": streets[0]})).json()["items"]
    for address in (f"cameras/{streets[0]}", f"persons/{seen[0]['person_id']}"):
        await visitor.page.evaluate("address => { location.hash = `#/${address}` }", address)
        await visitor.sees("dialog .main")
        assert not await visitor.overflows(), address


async def test_wider_screens_show_all_panels_at_once(visitor):
    for width in (760, 1180, 1920):
        await visitor.page.set_viewport_size({"width": width, "height": 900})
        for name in ("alerts", "cameras", "people", "search"):
            await visitor.sees(f"[data-panel={name}]")
        await expect(visitor.at(".tabs")).to_be_hidden()
        assert not await visitor.overflows(), width
