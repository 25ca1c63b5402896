"""What an operator sees of a camera that was tampered with."""

from __future__ import annotations

import pytest
import pytest_asyncio
from playwright.async_api import expect

from shared.messages import TamperingSigns
from tests.page.trouble import make_trouble

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="package")]

CAMERA = {"id": "page-covered", "name": "page-covered"}
ALERT = ".alert:has(.kind[data-kind=camera_covered])"


@pytest_asyncio.fixture(loop_scope="package")
async def covered(api):
    (await api.post("/v1/cameras", json=CAMERA)).raise_for_status()
    yield
    await api.delete(f"/v1/cameras/{CAMERA['id']}")


async def test_a_covered_camera_is_told_in_words_with_an_icon_and_its_view(
    visitor, city_bus, picture, covered
):
    await make_trouble(city_bus, "page-covered", *picture, tampering=TamperingSigns(covered=1.5))
    alert = await visitor.sees(ALERT, "Camera covered")
    await expect(alert.locator(".kind use")).to_have_attribute(
        "href", "/page/icons.svg#kind-camera_covered"
    )
    await visitor.sees_picture(f"{ALERT} .frame img")
    await expect(alert.locator(".heat")).to_have_count(0)
    await visitor.sees(".tile[data-camera=page-covered] .kind", "Camera covered")
    await alert.locator("a").click()
    await visitor.sees("dialog .about", "Something hides the camera")
    await visitor.sees_picture("dialog .pair .frame img")
    await visitor.sees_picture("dialog .pair .normal img")
    await visitor.page.keyboard.press("Escape")
    await visitor.at(".choice button[value=zh]").click()
    await visitor.sees(ALERT, "镜头被遮挡")
    await visitor.at(".choice button[value=en]").click()
