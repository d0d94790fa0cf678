"""The pages of the service, `/docs` and `/dev/`, in a browser: axe, pictures, and what they do."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from testing.browser import TIMEOUT
from testing.service import free_port
from testing.shell import make_run
from tests.demo.conftest import PICTURES
from tests.demo.looks import Looks

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.environ.get("PAGES"), reason="`make pages` runs it"),
]

LOOKS = ("light", "dark", "phone")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the URL of the service as `make run` starts it for phones."""
    port = free_port()
    folder: Path = tmp_path_factory.mktemp("pages")
    with make_run(folder, f"0.0.0.0:{port}"):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Yield a page. An exception, or a violation of its policy, fails the test."""
    page = browser.new_page()
    page.set_default_timeout(TIMEOUT)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on(
        "console",
        lambda message: (
            faults.append(message.text) if "Content Security Policy" in message.text else None
        ),
    )
    yield page
    page.close()
    assert faults == []


def test_contract_page_shows_a_folded_operation_that_a_link_names(page: Page, service: str) -> None:
    """It is never wider than the screen. On a phone the contents are only the groups."""
    page.goto(f"{service}/docs#user_suspended")
    expect(page.locator("#user_suspended")).to_be_in_viewport()
    operation = page.get_by_role("navigation").get_by_text("/v1/users/{user_id}/profile")
    operation.click()
    expect(page.locator("#putProfile .command")).to_be_in_viewport()
    others = page.locator(
        ".group:not(#tag-users) > summary"
    )  # the accessibility of one group is enough
    others.evaluate_all("(folded) => folded.forEach((summary) => summary.click())")
    expect(page.locator("#user_suspended")).not_to_be_visible()
    Looks(page, PICTURES).check("docs", *LOOKS)
    expect(operation).not_to_be_visible()


def test_development_page_mints_for_a_new_user_and_copies(page: Page, service: str) -> None:
    page.goto(f"{service}/dev/")
    expect(page.get_by_role("row", name="database ok")).to_be_visible()
    expect(page.get_by_role("img", name="QR code")).to_be_visible()
    page.get_by_label("User ID").fill("carol")
    placeholder = re.compile(r"^Valid for \d+ min .+, but Stream refuses it")
    for _ in ("of a new account", "of the same one"):
        page.get_by_role("button", name="Get a token").click()
        expect(page.get_by_role("status")).to_have_text(placeholder)
        expect(page.get_by_role("row", name="user_id carol")).to_be_visible()
    page.get_by_role("button", name="Copy").first.click()
    page.get_by_label("User ID").press("Control+v")
    expect(page.get_by_label("User ID")).to_have_value(re.compile(r"(eyJ[\w-]+\.){2}[\w-]+"))
    Looks(page, PICTURES).check("development", *LOOKS)
    page.get_by_label("User ID").fill("carol")
    page.get_by_label("Password").fill("not the right password")
    page.get_by_role("button", name="Get a token").click()
    expect(page.get_by_role("alert")).to_contain_text("password")
    expect(page.locator("#minted")).not_to_be_visible()
