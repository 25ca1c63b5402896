"""What an operator sees of an alert."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

from tests.page.trouble import make_trouble
from tests.page.visitor import PATIENCE_MS

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="package")]

ALERT = ".alert:has(.name:text-is('page-alley <b>'))"


async def test_an_alert_comes_by_itself_with_its_pictures_and_opens_its_details(
    visitor, city_bus, picture
):
    await expect(visitor.at(ALERT)).to_have_count(0)
    await make_trouble(city_bus, "page-alley", *picture)
    alert = await visitor.sees(ALERT, "Learning")
    await expect(alert).to_contain_text("Open")
    await expect(alert).to_contain_text(re.compile(r"Score [45]\.\d\d"))
    assert await alert.locator(".severity").inner_text() in ("High", "Critical")
    await expect(visitor.at(".alert").first).to_have_attribute("data-fresh", "")
    await visitor.sees_picture(f"{ALERT} .frame img")
    await visitor.sees_picture(f"{ALERT} .heat img")
    await visitor.sees(".tile[data-camera=page-alley]:not([data-alarm=none])")

    await alert.locator("a").click()
    await visitor.sees("dialog.sheet h2", "page-alley")
    await visitor.sees_picture("dialog .heat img")
    await expect(visitor.at("dialog .frames button")).to_have_count(3)
    await expect(visitor.at("dialog .curve")).to_have_attribute(
        "data-points", "64", timeout=PATIENCE_MS
    )
    await visitor.page.keyboard.press("Escape")
    await expect(visitor.at("dialog.sheet")).to_be_hidden()
    await visitor.page.go_back()
    await visitor.sees("dialog.sheet h2", "page-alley")


async def test_an_alert_is_explained_by_pictures_and_figures_without_a_mouse(visitor):
    await visitor.at(f"{ALERT} a").press("Enter")
    for view in ("frame", "normal", "reconstruction", "heat"):
        await visitor.sees_picture(f"dialog [data-view={view}] img")
    await visitor.sees("dialog [data-view=normal] figcaption", "0% different")
    table = await visitor.sees("dialog .readings", "What the scores are made of")
    await expect(table.locator("tbody tr")).to_have_count(3)
    await expect(table.locator("thead")).to_contain_text("of it motion")
    await expect(table.locator("tr[data-worst] td").nth(0)).to_have_text("0.6")
    await expect(table.locator("tr[data-worst] td").nth(1)).to_have_text("0.4")
    await expect(table.locator("tr[data-worst] td").last).to_have_text(re.compile(r"[45]\.\d\d"))

    heat = visitor.at("dialog [data-view=heat] button")
    small = await heat.bounding_box()
    await heat.focus()
    await visitor.page.keyboard.press("Enter")
    await expect(heat).to_have_attribute("aria-pressed", "true")
    assert (await heat.bounding_box())["width"] > 3 * small["width"]
    await visitor.page.keyboard.press("Space")
    await expect(heat).to_have_attribute("aria-pressed", "false")


async def test_on_a_telephone_an_alert_is_never_scrolled_sideways(visitor):
    await visitor.page.set_viewport_size({"width": 380, "height": 800})
    await visitor.at(f"{ALERT} a").press("Enter")
    await visitor.sees("dialog .readings td")
    body = "document.querySelector('dialog .body')"
    assert await visitor.page.evaluate(f"{body}.scrollWidth <= {body}.clientWidth")
    assert not await visitor.overflows()


async def test_the_explanation_is_told_in_chinese(visitor):
    await visitor.at(".choice button[value=zh]").click()
    await visitor.at(f"{ALERT} a").press("Enter")
    await visitor.sees("dialog [data-view=normal] figcaption", "最相近的平时画面")
    await visitor.sees("dialog .readings caption", "异常分的构成")
    button = visitor.at("dialog [data-view=reconstruction] button")
    await expect(button).to_have_attribute("aria-label", re.compile("放大.模型重建的画面"))


async def test_the_pictures_are_chosen_and_the_choice_is_kept(visitor):
    await visitor.sees(f"{ALERT} .heat")
    await visitor.at(".choice button[value=frame]").click()
    await expect(visitor.at(f"{ALERT} .heat")).to_be_hidden()
    await visitor.page.reload()
    await visitor.sees(f"{ALERT} .frame")
    await expect(visitor.at(f"{ALERT} .heat")).to_be_hidden()


async def test_the_regions_of_the_frame_that_is_shown_are_outlined_where_they_are(visitor):
    await visitor.sees(f"{ALERT} .regions")
    frame = await visitor.at(f"{ALERT} .frame img").bounding_box()
    region = await visitor.at(f"{ALERT} .regions rect").first.bounding_box()
    assert (region["x"] - frame["x"]) / frame["width"] == pytest.approx(60 / 320, abs=0.03)
    assert (region["y"] - frame["y"]) / frame["height"] == pytest.approx(80 / 240, abs=0.03)


async def test_a_camera_that_falls_silent_is_seen_offline(visitor):
    tile = visitor.at(".tile[data-camera=page-market]")
    await expect(tile).to_have_attribute("data-presence", "offline", timeout=40_000)
    await expect(tile).to_contain_text("Offline")
    alert = ".alert:has(.name:text-is('page-market <b>'))"
    await visitor.sees(alert, "sends no frames any more")
    await visitor.sees(".pill[data-figure=cameras]", "offline")
