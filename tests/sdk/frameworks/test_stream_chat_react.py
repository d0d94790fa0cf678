"""The hook of `examples/` with the unmodified `stream-chat-react`, in Chromium in StrictMode."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Page, expect

from testing.browser import TIMEOUT, running_browser
from testing.doubles.http_double import Call, HttpDouble
from testing.doubles.stream import StreamDouble
from testing.response import Response
from testing.service import STREAM_API_KEY, STREAM_API_SECRET
from testing.waiting import wait_until
from testing.world import CLOCK_AHEAD, running_world
from tests.sdk.chat_app import ChatApp
from tests.sdk.frameworks.conftest import FOLDER

pytestmark = pytest.mark.skipif(
    not os.environ.get("FRAMEWORKS"), reason="`make frameworks` runs it"
)

HTML = b"<!doctype html><title>Chat</title><body><script type=module src=/page.js></script>"


@dataclass
class Site:
    """
    The app's web site: its page, and the sign-in of its users.

    Attributes:
        script: Program of the page.
    """

    app: ChatApp
    stream: StreamDouble
    url: str
    script: bytes = b""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def site(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Yield the site, its service, and a Stream that the service delivers to."""

    def respond(call: Call) -> Response:
        if call.path == "/credential":
            return Response(200, site.app.sign_in(call.query["user"]).encode())
        if call.path == "/page.js":
            return Response(200, site.script, {"Content-Type": "text/javascript"})
        return Response(200, HTML, {"Content-Type": "text/html"})

    with (
        StreamDouble({STREAM_API_KEY: STREAM_API_SECRET}) as stream,
        HttpDouble(respond, clock=time.time) as pages,
        running_world(
            tmp_path_factory.mktemp("site"),
            ChatApp,
            stream,
            TOKENSVC_CORS__ORIGINS=json.dumps([pages.url]),
        ) as app,
    ):
        site = Site(app, stream, pages.url, bundle(packages, stream))
        yield site


def bundle(packages: Path, stream: StreamDouble) -> bytes:
    """Build the page with React's development version: only this one has the StrictMode."""
    host = stream.url.removeprefix("http://")  # the SDK reads the variable
    environ = {"NODE_ENV": "development", "STREAM_LOCAL_TEST_HOST": host}
    return subprocess.run(
        [
            packages / "esbuild" / "bin" / "esbuild",
            FOLDER / "page.jsx",
            "--bundle",
            "--format=esm",
            "--jsx=automatic",
            "--tsconfig-raw={}",
            f"--alias:tokensvc-client={FOLDER.parents[2] / 'clients' / 'js'}",
            f"--define:process={json.dumps({'env': environ})}",
        ],
        env={**os.environ, "NODE_PATH": str(packages)},
        capture_output=True,
        check=True,
    ).stdout


class User:
    """A user in front of the page."""

    def __init__(self, page: Page, site: Site, name: str) -> None:
        self.page, self.site, self.name = page, site, name
        self.minted: list[str] = []
        self.connections: list[str] = []
        page.on(
            "request",
            lambda request: (
                self.minted.append(request.url)
                if "/v1/token" in request.url and request.method == "POST"
                else None
            ),
        )
        page.on("websocket", lambda websocket: self.connections.append(websocket.url))
        page.goto(f"{site.url}/?{urlencode({'service': site.app.service.base_url, 'user': name})}")

    def press(self, button: str) -> None:
        self.page.get_by_role("button", name=button).click()

    def sees(self, text: str) -> None:
        expect(self.page.locator("output")).to_have_text(text, timeout=TIMEOUT)

    def sign_in(self) -> None:
        self.press("Sign in")
        self.sees(f"{self.name} has sent 0")

    def wait_for_sessions(self, count: int) -> None:
        """Wait until the user has this number of connections at Stream."""
        sessions = self.site.stream.sessions
        wait_until(lambda: len(sessions.of(self.name)) == count, f"{count} connections are open")


@pytest.fixture
def user(browser: Browser, site: Site, request: pytest.FixtureRequest) -> Iterator[User]:
    """Yield a user whose page has no uncaught exception."""
    page = browser.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error.stack)))
    page.set_default_timeout(TIMEOUT)
    yield User(page, site, request.node.name.removeprefix("test_"))
    page.close()
    assert faults == []


def test_two_mounts_share_a_token_and_leave_one_connection(user: User) -> None:
    """StrictMode mounts a component twice. The first client's connection is closed."""
    user.sign_in()
    user.wait_for_sessions(1)
    assert len(user.connections) == 2
    assert len(user.minted) == 1


def test_request_with_an_expired_token_is_repeated_on_the_same_connection(user: User) -> None:
    """The renders until then did not make another provider, with which the client reconnects."""
    user.sign_in()
    user.press("Send")
    user.sees(f"{user.name} has sent 1")
    (sent,) = user.site.stream.calls.to("POST", "/channels/livestream/room/message")
    user.site.stream.app.expired.add(sent.headers["authorization"])
    user.press("Send")
    user.sees(f"{user.name} has sent 2")
    assert len(user.minted) == 2
    assert len(user.connections) == 2


def test_suspended_user_leaves_and_returns_when_reinstated(user: User) -> None:
    """The page is idle when the suspension begins."""
    user.sign_in()
    user.site.app.suspend(user.name)
    user.sees("user_suspended")
    user.wait_for_sessions(0)
    suspended = user.site.app.reinstate(user.name).json
    accepted_from = suspended["tokens_valid_after"] + CLOCK_AHEAD
    wait_until(lambda: time.time() >= accepted_from, "a sign-in is after the suspension")
    user.sign_in()
    user.press("Send")
    user.sees(f"{user.name} has sent 1")
