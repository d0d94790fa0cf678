"""Debian's Chromium, for the tests of pages."""

import contextlib
import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")

TIMEOUT = 30_000
"""Milliseconds until a step fails. The machine may be busy."""


@contextlib.contextmanager
def running_browser() -> Iterator[Browser]:
    """Run a browser until the block ends. Without one the test is skipped, but fails in CI."""
    executable = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if executable is None:
        end = pytest.fail if os.environ.get("CI") else pytest.skip
        end("no browser: install Debian's package `chromium`")
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=options)
        yield chromium
        chromium.close()
