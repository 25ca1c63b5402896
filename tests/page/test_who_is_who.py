"""Saying who is who on the page: merging, splitting, undoing, forgetting."""

from __future__ import annotations

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.page.visitor import PATIENCE_MS

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="package")]

WAIT = {"timeout": PATIENCE_MS}


@pytest_asyncio.fixture(loop_scope="package")
async def people(streets, api):
    """Persons by how often they were seen, the most first: id and sightings."""
    params = {"limit": 1000, "camera_ids": streets}
    seen = (await api.get("/v1/sightings", params=params)).json()["items"]
    ids = [sighting["person_id"] for sighting in seen]
    return sorted(((person, ids.count(person)) for person in set(ids)), key=lambda it: -it[1])


async def open_person(visitor, person: str) -> None:
    await visitor.page.evaluate("address => { location.hash = address }", f"#/persons/{person}")
    await visitor.sees("dialog .sightings li")


async def say(visitor, act: str, purpose: str) -> None:
    await visitor.at("dialog [name=purpose]").fill(purpose)
    await visitor.at(f"dialog button[value={act}]").click()


async def test_two_persons_are_merged_and_it_is_undone(visitor, people):
    (anna, seen), (ben, seen_too) = people[:2]
    tile = visitor.at(f".people a[href='#/persons/{ben}']")
    await expect(tile).to_have_count(1, **WAIT)
    await open_person(visitor, anna)
    sightings = visitor.at("dialog .sightings li")
    await expect(sightings).to_have_count(seen)

    merge = visitor.at("dialog button[value=merge]")
    await merge.click()
    purpose = visitor.at("dialog [name=purpose]")
    assert await purpose.evaluate("input => input.validity.valueMissing")
    await say(visitor, "alike", "A test of merging")
    await visitor.sees_picture("dialog .acts .people img")
    await visitor.at("dialog [name=other]").fill(ben)
    await merge.click()
    change = visitor.at("dialog .changes [data-change=merge]")
    await expect(change).to_contain_text(f"{ben[-4:]} merged into {anna[-4:]}", **WAIT)
    await expect(change).to_contain_text("A test of merging")
    await expect(sightings).to_have_count(seen + seen_too, **WAIT)
    await expect(tile).to_have_count(0, **WAIT)

    await open_person(visitor, ben)
    await visitor.sees("dialog .foreword", f"Merged into person {anna[-4:]}")
    await expect(sightings).to_have_count(seen + seen_too, **WAIT)
    await visitor.at("dialog [name=purpose]").fill("They are two after all")
    await visitor.at("dialog .changes button").click()
    undone = visitor.at("dialog .changes [data-undone]")
    await expect(undone).to_contain_text("They are two after all", **WAIT)
    await expect(sightings).to_have_count(seen_too, **WAIT)
    await expect(tile).to_have_count(1, **WAIT)


async def test_chosen_sightings_are_split_off_in_chinese_too(visit, fresh_ticket, people, api):
    person, seen = people[0]
    assert seen > 1
    visitor = await visit(locale="zh-CN")
    await visitor.enter(await fresh_ticket(), f"#/persons/{person}")
    sightings = visitor.at("dialog .sightings li")
    await expect(sightings).to_have_count(seen, **WAIT)
    split = visitor.at("dialog button[value=split]")
    await expect(split).to_be_disabled()
    await sightings.first.locator("input").check()
    await expect(split).to_be_enabled()
    await expect(visitor.at("dialog button[value=split_to]")).to_be_disabled()
    await say(visitor, "split", "测试拆分")
    change = visitor.at("dialog .changes [data-change=split]")
    await expect(change).to_contain_text(f"{person[-4:]} 的 1 条目击记录改归", **WAIT)
    await expect(change).to_contain_text("测试拆分")
    await expect(sightings).to_have_count(seen - 1, **WAIT)
    await change.locator("button").click()
    await expect(change).to_contain_text("已撤销", **WAIT)
    await expect(sightings).to_have_count(seen, **WAIT)
    assert not await visitor.overflows()


async def test_a_person_is_forgotten_once_that_is_confirmed(visitor, people, api):
    person, _ = people[-1]
    await open_person(visitor, person)
    forget = visitor.at("dialog button[value=forget]")
    await forget.click()
    await visitor.sees("dialog .forgetting", "cannot be undone")
    await visitor.at("dialog button[value=keep]").click()
    await expect(forget).to_be_visible()
    await forget.click()
    visitor.excused = ["404"]
    await say(visitor, "forget_surely", "A test of forgetting")
    await visitor.sees("dialog .told", "forgotten")
    await visitor.sees("dialog .way [role=alert]", "not known, or no longer")
    await expect(visitor.at(f".people a[href='#/persons/{person}']")).to_have_count(0, **WAIT)
    answer = await api.get(f"/v1/persons/{person}")
    assert answer.status_code == 404
