"""Chinese and English: the same words in both, and a switch between them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.async_api import expect

PAGE = Path(__file__).parents[2] / "services" / "gateway" / "page"
LANGUAGES = ("en", "zh")


def words_of(language: str) -> dict[str, str | dict[str, str]]:
    def unique(pairs):
        names = [name for name, _ in pairs]
        assert len(names) == len(set(names)), "a key stands twice"
        return dict(pairs)

    text = (PAGE / "words" / f"{language}.json").read_text("utf-8")
    return json.loads(text, object_pairs_hook=unique)


def blanks_of(entry: str | dict[str, str]) -> set[str]:
    """The blanks to fill in; of an entry with a plural, those of the general form."""
    phrase = entry if isinstance(entry, str) else entry["other"]
    return set(re.findall(r"\{(\w+)\}", phrase))


def scripts() -> str:
    files = [path for path in PAGE.rglob("*.js") if "vendor" not in path.parts]
    return "\n".join(path.read_text("utf-8") for path in files)


def test_both_languages_say_the_same_things_with_the_same_blanks():
    english, chinese = (words_of(language) for language in LANGUAGES)
    assert list(english) == list(chinese)
    for key, entry in english.items():
        assert blanks_of(entry) == blanks_of(chinese[key]), key


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_words_are_empty(language):
    for key, entry in words_of(language).items():
        forms = [entry] if isinstance(entry, str) else list(entry.values())
        assert all(form.strip() for form in forms), key


def test_chinese_is_written_in_chinese():
    latin = {"presence.unknown", "curve.read", "gate.example"}
    for key, entry in words_of("zh").items():
        assert re.search(r"[\u4e00-\u9fff]", entry) or key in latin, key


def test_every_key_in_the_scripts_has_words_and_all_words_have_a_use():
    code = scripts()
    quoted = set(re.findall(r'"([a-z_]+(?:\.[a-z_]+)*)"', code))
    families = {
        part + "." if not part.endswith((".", "_")) else part
        for part in re.findall(r"`([a-z]+\.[a-z_]*)\$\{", code)
    }
    for key in re.findall(r'\bt\("([^"]+)"', code):
        assert key in words_of("en"), key
    for key in words_of("en"):
        assert key in quoted or any(key.startswith(family) for family in families), key


@pytest.mark.browser
@pytest.mark.asyncio(loop_scope="package")
async def test_the_language_is_switched_without_a_reload_and_kept(visitor):
    await visitor.sees("[data-panel=alerts] h2", "Alerts")
    await visitor.page.evaluate("window.stayed = true")
    await visitor.at(".choice button[value=zh]").click()
    await visitor.sees("[data-panel=alerts] h2", "警报")
    await visitor.sees(".tile[data-camera=page-market]", "帧/秒")
    await expect(visitor.at("html")).to_have_attribute("lang", "zh-CN")
    placeholder = await visitor.at("[name=purpose]").get_attribute("placeholder")
    assert placeholder == words_of("zh")["search.purpose_example"]
    assert await visitor.page.evaluate("window.stayed")
    await visitor.page.reload()
    await visitor.sees("[data-panel=search] h2", "以图寻人")


@pytest.mark.browser
@pytest.mark.asyncio(loop_scope="package")
async def test_a_chinese_browser_is_greeted_in_chinese(visit):
    visitor = await visit(locale="zh-CN")
    visitor.excused = ["401"]
    await visitor.enter(None)
    await visitor.sees(".gate h2", "凭票据进入本页面")
    assert await visitor.page.title() == "城市大脑 CityBrain"


@pytest.mark.browser
@pytest.mark.asyncio(loop_scope="package")
@pytest.mark.parametrize(
    ("locale", "language", "time"),
    [
        ("en-US", "en-GB", r"^\d{1,2}:\d\d:\d\d\s[AP]M$"),
        ("zh-TW", "zh-CN", r"^\d\d:\d\d:\d\d$"),
        ("fr-FR", "en-GB", r"^\d\d:\d\d:\d\d$"),
    ],
)
async def test_times_are_written_as_the_readers_country_writes_them_in_these_words(
    visit, fresh_ticket, locale, language, time
):
    visitor = await visit(locale=locale)
    await visitor.enter(await fresh_ticket())
    await expect(visitor.at(".bar .clock")).to_have_text(re.compile(time))
    await expect(visitor.at("html")).to_have_attribute("lang", language)
