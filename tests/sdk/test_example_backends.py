"""The backends of `examples/` request tokens for the users of their own sessions."""

import contextlib
import os
import shutil
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
from testing.node import install_packages
from testing.response import Response
from testing.service import ROOT, STREAM_API_KEY, free_port
from testing.waiting import wait_until
from tests.sdk.chat_app import ChatApp

TIMEOUT = 30
FRAMEWORKS = ROOT / "tests" / "sdk" / "frameworks"


def express_command(node: Path, port: int) -> list[str]:
    script = ROOT / "tests" / "sdk" / "js" / "express_site.mjs"
    return [str(node), "--disable-warning=MODULE_TYPELESS_PACKAGE_JSON", str(script), str(port)]


def django_command(_node: Path, port: int) -> list[str]:
    return gunicorn_command("tests.sdk.python.django_site:application", port)


def flask_command(_node: Path, port: int) -> list[str]:
    return gunicorn_command("tests.sdk.python.flask_site:app", port)


def gunicorn_command(site: str, port: int) -> list[str]:
    options = ["--bind", f"127.0.0.1:{port}", "--threads=4", "--no-control-socket"]
    return [sys.executable, "-m", "gunicorn", *options, site]


def fastapi_command(_node: Path, port: int) -> list[str]:
    site = "tests.sdk.python.fastapi_site:app"
    return [sys.executable, "-m", "uvicorn", "--port", str(port), site]


def nextjs_command(node: Path, port: int) -> list[str]:
    """Build the site with the route handler of the example, which cannot be outside of it."""
    site = FRAMEWORKS / "site"
    next_command = [str(node), str(install_packages(FRAMEWORKS) / "next" / "dist" / "bin" / "next")]
    example = ROOT / "examples" / "nextjs" / "app" / "api"
    shutil.copytree(example, site / "app" / "api", dirs_exist_ok=True)
    subprocess.run([*next_command, "build", site], check=True, timeout=300)
    return [*next_command, "start", str(site), "--hostname=127.0.0.1", f"--port={port}"]


COMMANDS = {
    "express": express_command,
    "django": django_command,
    "flask": flask_command,
    "fastapi": fastapi_command,
    "nextjs": nextjs_command,
}
HEAVY = {"nextjs"}
"""Its packages have 400 MB, and its build needs half a minute: `make frameworks` runs it."""

TESTED = HEAVY if os.environ.get("FRAMEWORKS") else COMMANDS.keys() - HEAVY


@dataclass
class Backend:
    """
    A running backend, and the browser of one of its users.

    Attributes:
        tokens: Double between the backend and the service.
        log_file: Standard output and error of the backend.
    """

    url: str
    tokens: HttpDouble
    log_file: Path
    browser: requests.Session = field(default_factory=requests.Session)

    def sign_in(self, user: str) -> str:
        """Sign the browser's user in, and return their user ID."""
        user_id: str = self.browser.post(f"{self.url}/sign-in?user={user}").json()["user_id"]
        return user_id

    def leave_sign_in_undated(self, user: str) -> str:
        """Sign in as before the installation: the session does not have the time."""
        return self.sign_in(f"{user}&undated")

    def request_token(self, **body: Any) -> requests.Response:
        return self.browser.post(f"{self.url}/chat-token", json=body, timeout=TIMEOUT)


@pytest.fixture(scope="module", params=sorted(TESTED))
def one_backend(
    request: pytest.FixtureRequest,
    node: Path,
    app: ChatApp,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Backend]:
    """Run each backend for all tests of this module, with the app's client."""
    assert app.server.secret is not None
    folder = tmp_path_factory.mktemp(request.param)
    port = free_port()
    with HttpDouble(app.respond, clock=time.time) as tokens:
        environ = {
            **os.environ,
            "DATABASE": str(folder / "django.db"),
            "CHAT_URL": f"{tokens.url}/v1/token",
            "CHAT_CLIENT_ID": app.server.id,
            "CHAT_CLIENT_SECRET": app.server.secret,
        }
        backend = Backend(f"http://127.0.0.1:{port}", tokens, folder / "log")
        command = COMMANDS[request.param](node, port)
        with (
            backend.log_file.open("w") as log,
            subprocess.Popen(command, cwd=ROOT, env=environ, stdout=log, stderr=log) as process,
        ):
            try:
                wait_until_available(backend, process)
                yield backend
            finally:
                process.terminate()


@pytest.fixture
def backend(one_backend: Backend) -> Backend:
    """Return a backend without recorded calls, and a new browser."""
    one_backend.tokens.calls.clear()
    return Backend(one_backend.url, one_backend.tokens, one_backend.log_file)


def wait_until_available(backend: Backend, process: subprocess.Popen[bytes]) -> None:
    def is_available() -> bool:
        assert process.poll() is None, backend.log_file.read_text()
        with contextlib.suppress(requests.ConnectionError):
            backend.request_token()
            return True
        return False

    wait_until(is_available, f"{backend.url} responds", TIMEOUT)


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


def test_session_without_a_sign_in_time_gets_401_after_a_cut_off(
    backend: Backend, app: ChatApp
) -> None:
    """Sessions from before the installation of the example do not have the time."""
    user_id = backend.leave_sign_in_undated("early")
    app.set_cut_off(user_id, int(time.time()) - 60)
    response = backend.request_token()
    assert (response.status_code, response.json()["code"]) == (401, "sign_in_required")


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


NOT_AN_OBJECT = [b"<html>", b"[]", b'"text"', b"null"]


@pytest.mark.parametrize("body", [None, *NOT_AN_OBJECT])
def test_no_response_or_one_without_a_json_object_gets_503_and_one_log_line(
    backend: Backend, body: bytes | None
) -> None:
    """A proxy between the backend and the service has pages of its own."""
    backend.sign_in("patient")
    logged = len(backend.log_file.read_text())
    if body is None:
        backend.tokens.faults.refuse("POST /v1/token")
    else:
        backend.tokens.faults.respond(Response(502, body), "POST /v1/token")
    response = backend.request_token()
    assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
    assert response.json() == {
        "code": "temporarily_unavailable",
        "detail": "The token service does not respond.",
    }
    log = backend.log_file.read_text()[logged:]
    assert "No response from the token service" in log
    assert "Traceback" not in log
    assert "    at " not in log, "a stack trace of Node"


def test_wrong_secret_of_the_backend_gets_502_with_the_reason(
    backend: Backend, app: ChatApp
) -> None:
    """The user's own sign-in is valid. An operator finds the reason in the log."""
    backend.sign_in("john")
    refusal = requests.post(
        app.token_url, json={"user_id": "john"}, auth=(app.server.id, "wrong"), timeout=TIMEOUT
    )
    backend.tokens.faults.respond(Response(refusal.status_code, refusal.json()), "POST /v1/token")
    response = backend.request_token()
    assert response.status_code == 502
    assert response.json() == {
        "code": "backend_refused",
        "detail": "The token service refuses this backend: credentials_invalid.",
    }
    log = backend.log_file.read_text()
    assert f"credentials_invalid {refusal.json()['detail']}" in log
    assert app.server.secret not in log


def test_request_that_the_service_does_not_know_is_logged(backend: Backend) -> None:
    """A wrong `CHAT_URL` concerns the operator. The app's developer reads the `detail`, too."""
    backend.sign_in("john")
    refusal = {"code": "not_found", "detail": "This path does not exist."}
    backend.tokens.faults.respond(Response(404, refusal), "POST /v1/token")
    response = backend.request_token()
    assert (response.status_code, response.json()) == (404, refusal)
    assert "not_found This path does not exist." in backend.log_file.read_text()


def test_refusal_of_the_user_is_not_logged(backend: Backend) -> None:
    backend.sign_in("john")
    logged = len(backend.log_file.read_text())
    refusal = {"code": "user_suspended", "detail": "This user is suspended."}
    backend.tokens.faults.respond(Response(403, refusal), "POST /v1/token")
    backend.request_token()
    assert "user_suspended" not in backend.log_file.read_text()[logged:]


@pytest.mark.parametrize("one_backend", ["express"], indirect=True)
def test_body_that_is_too_large_gets_413_with_the_reason(backend: Backend) -> None:
    """Only Express has a limit by default."""
    backend.sign_in("john")
    response = backend.request_token(user={"name": "x" * 200_000})
    assert (response.status_code, response.json()["detail"]) == (413, "request entity too large")


@pytest.mark.parametrize("body", ["{", '"text"', "nul"])
def test_body_that_is_not_a_json_object_gets_400(backend: Backend, body: str) -> None:
    backend.sign_in("john")
    headers = {"Content-Type": "application/json"}
    url = f"{backend.url}/chat-token"
    response = backend.browser.post(url, data=body, headers=headers, timeout=TIMEOUT)
    assert (response.status_code, response.json()["code"]) == (400, "malformed_request")
    assert not backend.tokens.calls.all()


@pytest.mark.parametrize("one_backend", ["django", "flask", "fastapi"], indirect=True)
@pytest.mark.parametrize("number", ["NaN", "1e999"])
def test_number_that_json_does_not_have_gets_400(backend: Backend, number: str) -> None:
    """Python's parser accepts it. The service is not called."""
    backend.sign_in("john")
    body = f'{{"api_key": {number}}}'
    response = backend.browser.post(f"{backend.url}/chat-token", data=body, timeout=TIMEOUT)
    assert (response.status_code, response.json()["code"]) == (400, "malformed_request")
    assert not backend.tokens.calls.all()
