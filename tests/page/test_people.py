"""Finding a person, and seeing where they were."""

from __future__ import annotations

import base64

import pytest
import pytest_asyncio
from playwright.async_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="package")]

DROP = """(target, [name, type, body]) => {
  const transfer = new DataTransfer();
  const bytes = Uint8Array.from(atob(body), (character) => character.charCodeAt(0));
  transfer.items.add(new File([bytes], name, { type }));
  for (const kind of ["dragover", "drop"]) {
    target.dispatchEvent(new DragEvent(kind, { dataTransfer: transfer, bubbles: true,
      cancelable: true }));
  }
}"""


@pytest_asyncio.fixture(loop_scope="package")
async def best(streets, api):
    """The clearest sighting, and its crop."""
    params = {"limit": 1000, "camera_ids": streets}
    sightings = (await api.get("/v1/sightings", params=params)).json()["items"]
    best = max(sightings, key=lambda sighting: sighting["quality"])
    return best, (await api.get(best["crop"])).content


async def drop(visitor, name: str, kind: str, body: bytes) -> None:
    target = visitor.at("[data-panel=cameras]")
    await target.evaluate(DROP, [name, kind, base64.b64encode(body).decode()])


async def test_a_dropped_picture_finds_the_person_and_their_trajectory(visitor, best):
    sighting, crop = best
    search = visitor.at("[data-panel=search]")
    await expect(search.locator(".primary")).to_be_disabled()
    await drop(visitor, "crop.jpg", "image/jpeg", crop)
    await visitor.sees_picture("[data-panel=search] .drop img")

    await search.locator(".primary").click()
    purpose = search.locator("[name=purpose]")
    assert await purpose.evaluate("input => input.validity.valueMissing")
    await expect(search.locator(".found")).to_have_count(0)
    await purpose.fill("A test of the search")
    await search.locator(".primary").click()
    first = await visitor.sees("[data-panel=search] .found a", "%")
    await visitor.sees_picture("[data-panel=search] .found img")
    assert await first.get_attribute("href") == f"#/persons/{sighting['person_id']}"

    await first.click()
    await visitor.sees("dialog.sheet h2", f"person {sighting['person_id'][-4:]}")
    await visitor.sees("dialog .caveat", "hypothesis")
    stays = visitor.at("dialog .stays li")
    assert await stays.count() == await visitor.at("dialog .itinerary .stay").count() >= 1
    await expect(stays.first).to_contain_text("page-")
    await expect(stays.first.locator(".confidence")).to_contain_text("%")
    await visitor.sees_picture("dialog .stays img")


async def test_somebody_in_the_strip_leads_to_their_trajectory(visitor, best):
    sighting, _ = best
    person = f".people a[href='#/persons/{sighting['person_id']}']"
    await visitor.sees_picture(f"{person} img")
    await visitor.at(person).click()
    await visitor.sees("dialog .itinerary .lane", "page-")


async def test_what_is_no_picture_is_refused_in_words(visitor):
    await drop(visitor, "notes.txt", "text/plain", b"hello")
    await visitor.sees("[data-panel=search] [role=alert]", "no JPEG or PNG")
    await drop(visitor, "broken.jpg", "image/jpeg", b"\xff\xd8\xff not a picture")
    await visitor.at("[name=purpose]").fill("A test of the search")
    visitor.excused = ["422", "415"]
    await visitor.at("[data-panel=search] .primary").click()
    await visitor.sees("[data-panel=search] [role=alert]")
