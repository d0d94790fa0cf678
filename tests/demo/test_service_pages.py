"""The pages of the service, `/docs` and `/dev/`, in a browser: axe, pictures, and what they do."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from testing.service import free_port
from testing.shell import make_run
from tests.demo.conftest import PICTURES
from tests.demo.looks import Looks
from tests.demo.people import TIMEOUT

pytestmark = pytest.mark.slow

LOOKS = ("light", "dark", "phone", "phone-dark")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the URL of the service as `make run` starts it."""
    bind = f"127.0.0.1:{free_port()}"
    folder: Path = tmp_path_factory.mktemp("pages")
    with make_run(folder, bind):
        yield f"http://{bind}"


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Yield a page. An exception, or a violation of its policy, fails the test."""
    page = browser.new_page()
    page.set_default_timeout(TIMEOUT)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text))
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
