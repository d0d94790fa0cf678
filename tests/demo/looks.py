"""The page in light and dark, on a wide screen and on a phone: axe, and pictures."""

from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from testing.node import install_packages

_EVERYTHING: dict[str, Any] = {}
_CONTRAST = {"runOnly": ["color-contrast"]}
_SIZES = {"runOnly": ["target-size"]}
_LOOKS = {
    "light": (1400, "light", _EVERYTHING),
    "dark": (1400, "dark", _CONTRAST),
    "phone": (360, "light", _SIZES),
}
"""Width in pixels, colour scheme, and what axe checks."""


class Looks:
    """A page to check in several looks."""

    def __init__(self, page: Page, folder: Path) -> None:
        self._page, self._folder = page, folder
        page.evaluate((install_packages() / "axe-core" / "axe.min.js").read_text())

    def check(self, state: str, *looks: str) -> None:
        """Save a picture of each look; fail if axe finds a fault or the page is too wide."""
        page = self._page
        for look in looks:
            width, scheme, rules = _LOOKS[look]
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            page.screenshot(path=self._folder / f"{state}-{look}.png", full_page=True)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), look
            found = page.evaluate("(rules) => axe.run(rules)", rules)
            assert found["passes"]
            faults = [
                (rule["id"], [node["html"] for node in rule["nodes"]])
                for rule in found["violations"]
            ]
            assert faults == [], (state, look)
