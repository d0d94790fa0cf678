"""The backends of `examples/` request tokens for the users of their own sessions."""

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

TIMEOUT = 30


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
        tokens: Double between the backend and the service.
    """

    url: str
    tokens: HttpDouble
    browser: requests.Session = field(default_factory=requests.Session)

    def sign_in(self, user: str) -> str:
        """Sign the browser's user in, and return their user ID."""
        user_id: str = self.browser.post(f"{self.url}/sign-in?user={user}").json()["user_id"]
        return user_id

    def request_token(self, **body: Any) -> requests.Response:
        return self.browser.post(f"{self.url}/chat-token", json=body, timeout=TIMEOUT)


@contextlib.contextmanager
def running_backend(
    kind: str, node: Path, app: ChatApp, folder: Path, secret: str
) -> Iterator[Backend]:
    """Run an example backend until the block ends, with the app's client ID and a secret."""
    port = free_port()
    with HttpDouble(app.respond, clock=time.time) as tokens:
        environ = {
            **os.environ,
            "DATABASE": str(folder / "django.db"),
            "CHAT_URL": f"{tokens.url}/v1/token",
            "CHAT_CLIENT_ID": app.server.id,
            "CHAT_CLIENT_SECRET": secret,
        }
        backend = Backend(f"http://127.0.0.1:{port}", tokens)
        with subprocess.Popen(COMMANDS[kind](node, port), cwd=ROOT, env=environ) as process:
            try:
                wait_until_available(backend, process)
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
    """Yield each backend for all tests of this module."""
    assert app.server.secret is not None
    folder = tmp_path_factory.mktemp(request.param)
    with running_backend(request.param, node, app, folder, app.server.secret) as backend:
        yield backend


@pytest.fixture
def backend(one_backend: Backend) -> Backend:
    """Return a backend without recorded calls, and a new browser."""
    one_backend.tokens.calls.clear()
    return Backend(one_backend.url, one_backend.tokens)


def wait_until_available(backend: Backend, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + TIMEOUT
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(requests.ConnectionError):
            backend.request_token()
            return
        time.sleep(0.05)
    raise AssertionError("the backend did not start")


def test_signed_in_user_gets_a_token(backend: Backend, stream: StreamDouble) -> None:
    """For the user of the session and the key of the client. No cache stores it."""
    user_id = backend.sign_in("john")
    response = backend.request_token(api_key=STREAM_API_KEY, user_id="other")
    assert response.status_code == 200, response.text
    assert (response.json()["user_id"], response.json()["api_key"]) == (user_id, STREAM_API_KEY)
    assert response.headers["Cache-Control"] == "no-store"
    claims = stream.app.authenticate(STREAM_API_KEY, "jwt", response.json()["token"])
    assert claims.user_id == user_id
    (call,) = backend.tokens.calls.to("POST", "/v1/token")
    assert set(call.json) == {"user_id", "auth_time", "api_key"}


def test_request_without_a_session_gets_401(backend: Backend) -> None:
    """The service is not called. The provider of `examples/` signs the user out."""
    response = backend.request_token()
    assert (response.status_code, response.json()["code"]) == (401, "sign_in_required")
    assert not backend.tokens.calls.all()


def test_session_from_before_a_cut_off_gets_401(backend: Backend, app: ChatApp) -> None:
    """The backend sends the time of the sign-in. A new session gets a token."""
    user_id = backend.sign_in("returning")
    cut_off = int(time.time()) + 1
    app.set_cut_off(user_id, cut_off)
    while time.time() < cut_off + 3:
        time.sleep(0.05)
    response = backend.request_token()
    assert (response.status_code, response.json()["code"]) == (401, "sign_in_required")
    backend.sign_in("returning")
    assert backend.request_token().status_code == 200


def test_suspended_user_gets_403(backend: Backend, app: ChatApp) -> None:
    app.set_suspended(backend.sign_in("banned"))
    response = backend.request_token()
    assert (response.status_code, response.json()["code"]) == (403, "user_suspended")


def test_unavailable_service_gets_503_with_retry_after(backend: Backend) -> None:
    backend.sign_in("patient")
    unavailable = Response(503, {"code": "temporarily_unavailable"}, {"Retry-After": "7"})
    backend.tokens.faults.respond(unavailable, "POST /v1/token")
    response = backend.request_token()
    assert (response.status_code, response.headers["Retry-After"]) == (503, "7")


@pytest.mark.parametrize("kind", COMMANDS)
def test_wrong_secret_of_the_backend_gets_502_without_a_reason(
    kind: str, node: Path, app: ChatApp, tmp_path: Path
) -> None:
    """The user's own sign-in is valid, and the refusal is not for the user."""
    with running_backend(kind, node, app, tmp_path, secret="wrong") as backend:
        backend.sign_in("john")
        response = backend.request_token()
    assert (response.status_code, response.json()) == (502, {})


@pytest.mark.parametrize("example", ["express/chatToken.js", "django/chat.py"])
def test_example_is_shorter_than_30_lines(example: str) -> None:
    assert len((ROOT / "examples" / example).read_text().splitlines()) < 30
