"""What an operator sees of a camera."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.page.visitor import PATIENCE_MS

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="package")]


async def points_of(visitor, selector: str) -> int:
    curve = visitor.at(selector)
    await visitor.page.wait_for_function(
        "curve => Number(curve.dataset.points) > 0",
        arg=await curve.element_handle(),
        timeout=PATIENCE_MS,
    )
    return int(await curve.get_attribute("data-points"))


async def test_a_tile_has_its_snapshot_its_curve_and_its_name_as_it_is_written(visitor):
    tile = ".tile[data-camera=page-market]"
    await visitor.sees(f"{tile} .name", "page-market <b>")
    await visitor.sees_picture(f"{tile} .snapshot img")
    assert await points_of(visitor, f"{tile} .curve") >= 5
    await visitor.sees(f"{tile} canvas")
    await visitor.sees(tile, "Learning")


async def test_a_camera_that_has_pushed_nothing_says_so(visitor):
    tile = await visitor.sees(".tile[data-camera=page-yard]", "No frames yet")
    await expect(tile.locator(".snapshot")).to_contain_text("No frame yet")


async def test_a_camera_is_enlarged_with_a_longer_curve(visitor):
    await visitor.at(".tile[data-camera=page-library] a").click()
    await visitor.sees("dialog.sheet h2", "page-library")
    await visitor.sees_picture("dialog .large img")
    fine = await points_of(visitor, "dialog .curve")
    await visitor.at("dialog .choice button[value='180']").click()
    coarse = visitor.at("dialog .curve")
    await expect(coarse).not_to_have_attribute("data-points", str(fine), timeout=PATIENCE_MS)
    assert int(await coarse.get_attribute("data-points")) < fine
    await visitor.sees("dialog .facts", "35 accepted")


async def test_every_accepted_frame_is_accounted_for(visitor):
    for group in ("anomaly", "reid"):
        account = await visitor.sees(f".account[data-group={group}]", "accepted")
        await expect(account.locator(".equals")).to_have_text("=", timeout=PATIENCE_MS)
