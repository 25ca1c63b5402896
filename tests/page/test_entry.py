"""Who comes in, and who does not."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="package")]


async def test_the_ticket_leaves_the_address_and_the_session_is_out_of_scripts_reach(
    visit, fresh_ticket
):
    visitor = await visit()
    ticket = await fresh_ticket()
    await visitor.enter(ticket, "#/cameras/page-market")
    await visitor.sees("dialog.sheet", "page-market")
    assert visitor.page.url == f"{visitor.origin}/#/cameras/page-market"
    assert await visitor.page.evaluate("document.cookie") == ""
    (cookie,) = await visitor.page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    await visitor.page.reload()
    await visitor.sees("dialog.sheet", "page-market")


async def test_a_spent_ticket_is_told_and_a_pasted_address_opens_the_page(visit, fresh_ticket, api):
    visitor = await visit()
    visitor.excused = ["401"]
    spent = await fresh_ticket()
    (await api.post("/v1/sessions", json={"ticket": spent})).raise_for_status()
    await visitor.enter(spent)
    await visitor.sees(".gate h2", "This ticket is spent or too old")
    assert spent not in visitor.page.url
    await visitor.sees(".gate pre", f"{visitor.origin}/v1/tickets")
    await visitor.at(".gate input").fill(spent)
    await visitor.at(".gate .primary").click()
    await visitor.sees(".gate [role=alert]", "unknown, spent or too old")
    await visitor.at(".gate input").fill(f"{visitor.origin}/?ticket={await fresh_ticket()}")
    await visitor.at(".gate .primary").click()
    await visitor.sees(".tile")


async def test_without_a_ticket_nothing_of_the_city_is_shown(visit):
    visitor = await visit()
    visitor.excused = ["401"]
    await visitor.enter(None)
    await visitor.sees(".gate h2", "A ticket opens this page")
    await expect(visitor.at(".panel")).to_have_count(0)


async def test_a_session_that_ends_closes_the_page_and_stills_it(visitor):
    visitor.excused = ["401"]
    await visitor.page.context.clear_cookies()
    await visitor.sees(".gate h2", "Your session has ended")
    asked = []
    visitor.page.on("request", lambda request: asked.append(request.url))
    await visitor.page.wait_for_timeout(2_500)
    assert asked == []


@pytest.mark.parametrize("path", ["/", "/page/page.js", "/page/words/zh.json"])
async def test_nothing_foreign_may_run_in_the_page(api, path):
    response = await api.get(path)
    assert response.status_code == 200
    policy = dict(
        part.split(" ", 1) for part in response.headers["content-security-policy"].split("; ")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["x-content-type-options"] == "nosniff"
