"""The backends of `examples/` ask for their own users, on the word of their own sessions."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from testing.doubles.http_double import HttpDouble
from testing.doubles.stream import StreamDouble
from testing.response import Response
from testing.service import ROOT, STREAM_API_KEY, free_port
from tests.sdk.chat_app import ChatApp

PATIENCE = 30


def express_command(node: Path, port: int) -> list[str]:
    script = ROOT / "tests" / "sdk" / "js" / "express_site.mjs"
    return [str(node), "--disable-warning=MODULE_TYPELESS_PACKAGE_JSON", str(script), str(port)]


def django_command(node: Path, port: int) -> list[str]:
    site = "tests.sdk.python.django_site:application"
    return [
        sys.executable,
        "-m",
        "gunicorn",
        "--bind",
        f"127.0.0.1:{port}",
        "--threads=4",
        "--no-control-socket",
        site,
    ]


COMMANDS = {"express": express_command, "django": django_command}


@dataclass
class Backend:
    """
    A running backend, and the browser of one of its users.

    Attributes:
        tokens: The backend's way to the service.
    """

    url: str
    tokens: HttpDouble
    browser: requests.Session = field(default_factory=requests.Session)

    def sign_in(self, user: str) -> str:
        """Sign the browser's user in, and give their user id."""
        user_id: str = self.browser.post(f"{self.url}/sign-in?user={user}").json()["user_id"]
        return user_id

    def ask(self, **body: Any) -> requests.Response:
        return self.browser.post(f"{self.url}/chat-token", json=body, timeout=PATIENCE)


@contextlib.contextmanager
def running_backend(
    kind: str, node: Path, app: ChatApp, folder: Path, secret: str
) -> Iterator[Backend]:
    """Run an example backend that has the app's client id, and a secret, until the block ends."""
    port = free_port()
    with HttpDouble(app.respond, clock=time.time) as tokens:
        environ = {
            **os.environ,
            "DATABASE": str(folder / "django.db"),
            "CHAT_URL": f"{tokens.url}/v1/token",
            "CHAT_CLIENT_ID": app.backend.id,
            "CHAT_CLIENT_SECRET": secret,
        }
        backend = Backend(f"http://127.0.0.1:{port}", tokens)
        with subprocess.Popen(COMMANDS[kind](node, port), cwd=ROOT, env=environ) as process:
            try:
                wait_until_it_listens(backend, process)
                yield backend
            finally:
                process.terminate()


@pytest.fixture(scope="module", params=COMMANDS)
def one_backend(
    request: pytest.FixtureRequest,
    node: Path,
    app: ChatApp,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Backend]:
    """Give each of the two for all tests of this module."""
    assert app.backend.secret is not None
    folder = tmp_path_factory.mktemp(request.param)
    with running_backend(request.param, node, app, folder, app.backend.secret) as backend:
        yield backend


@pytest.fixture
def backend(one_backend: Backend) -> Backend:
    """Give a backend that nobody has asked yet, to a browser that nobody has used."""
    one_backend.tokens.calls.clear()
    return Backend(one_backend.url, one_backend.tokens)


def wait_until_it_listens(backend: Backend, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(requests.ConnectionError):
            backend.ask()
            return
        time.sleep(0.05)
    raise AssertionError("the backend did not start")


def test_a_signed_in_user_gets_their_token(backend: Backend, stream: StreamDouble) -> None:
    """The session's user, nobody else, for the client's key; Stream takes it; nobody stores it."""
    user_id = backend.sign_in("john")
    answer = backend.ask(api_key=STREAM_API_KEY, user_id="somebody-else")
    assert answer.status_code == 200, answer.text
    assert (answer.json()["user_id"], answer.json()["api_key"]) == (user_id, STREAM_API_KEY)
    assert answer.headers["Cache-Control"] == "no-store"
    claims = stream.app.authenticate(STREAM_API_KEY, "jwt", answer.json()["token"])
    assert claims.user_id == user_id
    (call,) = backend.tokens.calls.to("POST", "/v1/token")
    assert set(call.json) == {"user_id", "auth_time", "api_key"}


def test_without_a_session_nobody_is_asked(backend: Backend) -> None:
    """401 `sign_in_required`, on which the provider of `examples/` signs the user out."""
    answer = backend.ask()
    assert (answer.status_code, answer.json()["code"]) == (401, "sign_in_required")
    assert not backend.tokens.calls.all()


def test_a_session_from_before_a_cut_off_must_sign_in_again(backend: Backend, app: ChatApp) -> None:
    """The backend states when its session began: an old one is refused, a new one is let in."""
    user_id = backend.sign_in("returning")
    cut_off = int(time.time()) + 1
    app.revoke(user_id, cut_off)
    while time.time() < cut_off + 3:
        time.sleep(0.05)
    answer = backend.ask()
    assert (answer.status_code, answer.json()["code"]) == (401, "sign_in_required")
    backend.sign_in("returning")
    assert backend.ask().status_code == 200


def test_a_suspended_user_is_told(backend: Backend, app: ChatApp) -> None:
    """403 `user_suspended` reaches the browser, where the provider stops."""
    app.suspend(backend.sign_in("banned"))
    answer = backend.ask()
    assert (answer.status_code, answer.json()["code"]) == (403, "user_suspended")


def test_a_service_that_is_away_is_asked_again_later(backend: Backend) -> None:
    """503 and its `Retry-After` reach the browser, where the provider heeds them."""
    backend.sign_in("patient")
    away = Response(503, {"code": "temporarily_unavailable"}, {"Retry-After": "7"})
    backend.tokens.faults.respond(away, "POST /v1/token")
    answer = backend.ask()
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "7")


@pytest.mark.parametrize("kind", COMMANDS)
def test_a_backend_with_a_wrong_secret_tells_the_user_nothing(
    kind: str, node: Path, app: ChatApp, tmp_path: Path
) -> None:
    """502: the user's own sign-in is fine, and the refusal is not theirs to read."""
    with running_backend(kind, node, app, tmp_path, secret="wrong") as backend:
        backend.sign_in("john")
        answer = backend.ask()
    assert (answer.status_code, answer.json()) == (502, {})


@pytest.mark.parametrize("example", ["express/chatToken.js", "django/chat.py"])
def test_an_example_is_short(example: str) -> None:
    """Under 30 lines, as the README promises."""
    assert len((ROOT / "examples" / example).read_text().splitlines()) < 30
