"""A browser's page -> what a person sees on it, and whatever they should never see."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from playwright.async_api import expect

if TYPE_CHECKING:
    from playwright.async_api import Locator, Page

PATIENCE_MS = 20_000
"""For what comes by itself. Nothing waits for so long unless the machine is very busy."""


@dataclass
class Visitor:
    """Somebody in front of the page.

    faults: errors in the console, broken policies, requests to elsewhere. excused: parts of those
    messages that the test has provoked.
    """

    page: Page
    origin: str
    faults: list[str] = field(default_factory=list)
    excused: list[str] = field(default_factory=list)

    def watch(self) -> None:
        self.page.on("console", lambda message: self._hear(message.type, message.text))
        self.page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        self.page.on("request", lambda request: self._check_address(request.url))

    async def enter(self, ticket: str | None, address: str = "") -> None:
        query = "" if ticket is None else f"?ticket={ticket}"
        await self.page.goto(f"{self.origin}/{query}{address}")

    def at(self, selector: str) -> Locator:
        return self.page.locator(selector)

    async def sees(self, selector: str, text: str | None = None) -> Locator:
        """Goes to it and waits until it is there to be seen, with the text in it."""
        found = self.at(selector).first
        await expect(found).to_be_visible(timeout=PATIENCE_MS)
        # A tile asks for its news only while it is in view. In one go: a list that is drawn anew
        # while Playwright waits for its element to be stable takes the element away.
        await found.evaluate("element => element.scrollIntoView({block: 'nearest'})")
        if text is not None:
            await expect(found).to_contain_text(text, timeout=PATIENCE_MS)
        return found

    async def sees_picture(self, selector: str) -> None:
        """Waits until a picture is really there: bytes that the browser could decode."""
        picture = await self.sees(selector)
        await expect(picture).not_to_have_js_property("naturalWidth", 0, timeout=PATIENCE_MS)

    async def overflows(self) -> bool:
        """Whether the page must be scrolled sideways."""
        return await self.page.evaluate("document.documentElement.scrollWidth > innerWidth")

    @property
    def unexcused(self) -> list[str]:
        return [
            fault for fault in self.faults if not any(excuse in fault for excuse in self.excused)
        ]

    def _hear(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.faults.append(f"{kind}: {text}")

    def _check_address(self, address: str) -> None:
        if not address.startswith((self.origin, "blob:", "data:")):
            self.faults.append(f"a request to {address}")
