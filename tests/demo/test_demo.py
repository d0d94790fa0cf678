"""
The demo in a real browser, with the real SDK, the real provider and the real service.

One file, because `make test` gives a file to one process: one demo and one browser are enough.
"""

import re
from http.client import HTTPConnection

import pytest
import urllib3
from playwright.sync_api import Browser, Page, expect

from testing.browser import TIMEOUT
from tests.demo.conftest import HOST
from tests.demo.looks import Looks
from tests.demo.people import Operator, Person, tab_to

pytestmark = pytest.mark.slow

WITHOUT_CLEANING = """
    const start = setInterval;
    window.setInterval = (run, time) => (time === 500 ? 0 : start(run, time));
"""
"""Stops the SDK's timer that ends the typing of users, its own and that of others."""


def test_two_people_see_each_others_messages_typing_and_reads(
    page: Page, ada: Person, bob: Person, operator: Operator
) -> None:
    """A user who is suspended no longer types. The SDK would notice that after seven seconds."""
    page.add_init_script(WITHOUT_CLEANING)
    page.reload()
    ada.join()
    bob.join()
    ada.types("hel")
    bob.shows(f"{ada.user_id} is typing", within=".typing")
    ada.send("hello")
    bob.received("hello")
    ada.shows(f"Read by {bob.user_id}", within=".messages")
    ada.shows(f"user_id{ada.user_id}", within=".claims")
    ada.shows(" s left", within=".left")
    ada.types("more")
    bob.shows(f"{ada.user_id} is typing", within=".typing")
    operator.act("Suspend", ada)
    expect(bob.pane.locator(".typing")).to_be_empty(timeout=TIMEOUT)


def test_keyboard_alone_is_enough(page: Page, ada: Person, operator: Operator) -> None:
    """From the sign-up to a message, and an action of the operator that keeps the focus."""
    keyboard = page.keyboard
    tab_to(page, "userId")
    keyboard.press("Control+a")
    keyboard.type(ada.user_id)
    tab_to(page, "signUp")
    keyboard.press("Enter")
    ada.is_connected()
    expect(ada.pane.get_by_label("Message", exact=True)).to_be_focused()
    keyboard.type("typed")
    keyboard.press("Enter")
    ada.received("typed")
    operator.sees(ada, "1 session")
    tab_to(page, "suspend")
    keyboard.press("Space")
    operator.sees(ada, "Suspended")
    expect(operator.row(ada).get_by_role("button", name="Reinstate")).to_be_focused()
    keyboard.press("Enter")
    operator.sees(ada, "Not suspended")


def test_suspended_user_leaves_at_once_and_returns_after_the_reinstatement(
    ada: Person, operator: Operator
) -> None:
    """The person does nothing: the window leaves the open connection."""
    ada.join()
    operator.act("Suspend", ada)
    ada.failed("sign-in", "Suspended by the operator")
    ada.shows("Signed out", within=".connection")
    last = "Last call: GET /v1/me: 403 user_suspended."
    ada.failed("sign-in", f"{last} The app has disconnected.")
    operator.sees(ada, f"Suspended by the operator. {last}")
    operator.sees(ada, "Next: no token, and no sign-in, until you reinstate the user.")
    ada.enter("Sign in")
    ada.failed("sign-in", "Signing in does not help until the operator reinstates you")
    operator.act("Reinstate", ada)
    operator.sees(ada, "Not suspended")
    operator.has_sent(f"DELETE /v1/users/{ada.user_id}/suspension: 200")
    ada.enter("Sign in")
    ada.is_connected()
    ada.send("I am back")
    ada.received("I am back")


def test_erased_user_is_signed_out_for_good(ada: Person, operator: Operator) -> None:
    """Stream deletes the user, and the ID cannot be used again."""
    ada.join()
    operator.act("Erase", ada)
    operator.has_sent(f"DELETE /v1/users/{ada.user_id}: 200")
    operator.sees(ada, "deletion at Stream: done")
    ada.shows("Signed out", within=".connection")
    ada.failed("sign-in", "Erased by the operator")
    ada.enter("Sign up")
    ada.failed("wrong", "belongs to a user already, or did")


def test_page_is_accessible_in_each_state_and_look(
    page: Page, ada: Person, bob: Person, operator: Operator, looks: Looks
) -> None:
    """Axe finds nothing, and the page is never wider than the screen."""
    looks.check("1-start", "light")
    ada.join()
    bob.join()
    ada.send("Hello Bob!")
    bob.send("Hi, how are you?")
    ada.received("how are you?")
    page.set_viewport_size({"width": 1400, "height": 900})
    for visible in (ada.pane.locator(".token"), ada.pane.locator(".calls .log")):
        expect(visible).to_be_in_viewport(ratio=1)
    expect(bob.pane.locator(".messages small")).to_be_in_viewport(ratio=1)  # "Read by", not clipped
    looks.check("2-chat", "dark", "phone")
    operator.act("Suspend", bob)
    bob.failed("sign-in", "Suspended by the operator")
    ada.press("Get 503 for 5 s")
    ada.failed("later", "503")
    looks.check("3-later-and-suspended", "light", "dark", "phone")
    bob.enter("Sign in", password="not the right password")
    bob.failed("wrong", "sign up first")
    operator.add_key()
    looks.check("4-wrong", "light", "dark")


def get(url: str, **headers: str) -> urllib3.BaseHTTPResponse:
    return urllib3.request("GET", url, headers=headers, retries=False)


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/operator/v1/stream-keys", {"Host": "attacker.example"}),
        ("GET", "/operator/v1/stream-keys", {"Origin": "http://attacker.example"}),
        ("POST", "/operator/v1/stream-keys", {"Origin": "http://attacker.example"}),
        ("POST", "/operator/v1/stream-keys", {}),
        ("PUT", "/scene/service", {"Origin": "null"}),
    ],
)
def test_request_of_another_page_is_refused(
    demo: str, method: str, path: str, headers: dict[str, str]
) -> None:
    response = urllib3.request(method, demo + path, headers=headers, retries=False)
    assert response.status == 403
    assert f"Open {demo}" in response.data.decode()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/operator/v1/clients"),
        ("GET", "/operator/v1/audit"),
        ("DELETE", "/operator/v1/users/ada/revocations/x"),
        ("GET", "/operator/v1/users/ada/../../clients"),
        ("GET", "/operator/v1/users/ada/%2e%2e%2f%2e%2e%2fclients"),
        ("GET", "/operator/v1/users/ada%2F..%2F..%2Fclients"),
    ],
)
def test_operator_credential_is_used_only_for_the_buttons_of_the_page(
    demo: str, method: str, path: str
) -> None:
    connection = HTTPConnection(demo.removeprefix("http://"))  # sends the path unchanged
    connection.request(method, path, headers={"Origin": demo})
    assert connection.getresponse().status == 404
    connection.close()


def test_policy_allows_only_the_files_of_the_demo_the_service_and_stream(demo: str) -> None:
    """The page has no inline style or handler, and no credential."""
    page = get(demo)
    policy = dict(
        part.strip().split(" ", 1) for part in page.headers["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert re.fullmatch(r"'self' 'sha256-[^']+'", policy["script-src"])
    hosts = {re.sub(r":\d+$", "", source) for source in policy["connect-src"].split()}
    assert hosts == {"'self'", f"http://{HOST}", f"ws://{HOST}"}
    assert not re.search(r"\sstyle=|\son\w+=|<style", page.data.decode())


def test_page_of_another_origin_cannot_read_the_service(browser: Browser, demo: str) -> None:
    """CORS allows the origin of the demo's page only."""
    scene = get(f"{demo}/scene").json()
    read = f"fetch('{scene['service']}/healthz').then((read) => read.status, () => 'blocked')"
    page = browser.new_page()
    page.goto(demo)
    assert page.evaluate(read) == 200
    page.goto(f"{scene['stream']}/hi")
    assert page.evaluate(read) == "blocked"
    page.close()
