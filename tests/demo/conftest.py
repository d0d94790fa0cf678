"""A browser, the running demo, and a page of it for each test."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import count

import pytest
from playwright.sync_api import Browser, Page

from testing.browser import TIMEOUT, running_browser
from testing.service import ROOT, free_port
from tests.demo.looks import Looks
from tests.demo.people import Operator, Person

HOST = "127.0.0.2" if sys.platform == "linux" else "127.0.0.1"
"""Not the default where another address of this machine exists: phones use another one, too."""
PICTURES = ROOT / "var" / "pictures"

_users = count(1)


@pytest.fixture(scope="module")
def demo() -> Iterator[str]:
    """Yield the URL of the demo, started as `make demo` starts it."""
    url = f"{HOST}:{free_port()}"
    with subprocess.Popen(
        [sys.executable, "-m", "testing.demo", "--bind", url],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        for line in process.stdout:
            if line.startswith("Ctrl-C"):
                break
        yield f"http://{url}"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Yield Debian's Chromium."""
    with running_browser() as chromium:
        yield chromium


@pytest.fixture
def page(browser: Browser, demo: str) -> Iterator[Page]:
    """Yield the page of the demo. An exception, or a violation of its policy, fails the test."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    context.set_default_timeout(TIMEOUT)
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error.stack)))
    page.on(
        "console",
        lambda message: (
            faults.append(message.text) if "Content Security Policy" in message.text else None
        ),
    )
    page.goto(demo)
    yield page
    context.close()
    assert faults == []


@pytest.fixture
def ada(page: Page) -> Person:
    """Return the first person, with an ID of their own."""
    return Person(page.locator("#client-1"), f"ada-{next(_users)}")


@pytest.fixture
def bob(page: Page) -> Person:
    """Return the second person, with an ID of their own."""
    return Person(page.locator("#client-2"), f"bob-{next(_users)}")


@pytest.fixture
def operator(page: Page) -> Operator:
    return Operator(page.locator("#operator"))


@pytest.fixture
def looks(page: Page) -> Looks:
    """Return the looks of the page. Git ignores the folder of their pictures."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    return Looks(page, PICTURES)
