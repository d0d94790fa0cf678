"""`examples/java` on a Java machine, with doubles of Android, of Stream's SDK and of Firebase."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from testing.doubles.http_double import HttpDouble
from testing.response import Response
from testing.service import ROOT
from testing.waiting import wait_until
from tests.sdk.js.endpoint import TOKEN, grant, problem

DOUBLES = Path(__file__).parent / "java"
JAVA, JAVAC = shutil.which("java"), shutil.which("javac")

pytestmark = pytest.mark.skipif(JAVAC is None, reason="there is no Java compiler")


class App:
    """A process with the code of the page, which runs commands."""

    def __init__(self, classes: Path) -> None:
        self._process = subprocess.Popen(
            [JAVA, "-XX:TieredStopAtLevel=1", "-cp", classes, "com.example.chat.Commands"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: object) -> str:
        """Run a command, and return its result."""
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().removesuffix("\n")

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    Return the compiled classes of both examples, and of their doubles.

    The latch on which the code waits is replaced by one whose clock jumps; nothing else is changed.
    """
    sources = tmp_path_factory.mktemp("java")
    for stub in re.split(r"\n(?=package )", (DOUBLES / "stubs.txt").read_text()):
        name = re.search(r"public @?(?:class|interface) (\w+)", stub)[1]
        folder = sources / re.match(r"package ([\w.]+);", stub)[1]
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.java").write_text(stub)
    service = (ROOT / "examples" / "java" / "TokenService.java").read_text()
    latch = "java.util.concurrent.CountDownLatch;"
    assert latch in service
    service = service.replace(f"import {latch}\n", "").replace("CountDownLatch", "ManualLatch")
    (sources / "TokenService.java").write_text(service)
    files = [*sources.rglob("*.java"), *DOUBLES.glob("*.java"), ROOT / "examples/java/Backend.java"]
    options = ["-J-XX:TieredStopAtLevel=1", "-Xlint:all,-auxiliaryclass,-serial", "-Werror"]
    ended = subprocess.run(
        [JAVAC, *options, "-d", sources / "classes", *files],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return sources / "classes"


@pytest.fixture(scope="module")
def app(classes: Path) -> Iterator[App]:
    running = App(classes)
    yield running
    running.close()


def down(endpoint: HttpDouble, times: int | None = None) -> None:
    endpoint.faults.respond(problem(503, "temporarily_unavailable"), times=times)


def test_provider_outlasts_three_minutes_without_the_service(
    app: App, endpoint: HttpDouble
) -> None:
    """It asks at least every half minute, and returns a token late instead of none."""
    app.run("provider", endpoint.url)
    assert app.run("load") == TOKEN
    down(endpoint, times=40)
    assert app.run("load") == TOKEN
    assert int(app.run("passed")) > 180_000
    assert int(app.run("longest")) <= 30_000


def test_first_connection_gives_up_after_a_minute(app: App, endpoint: HttpDouble) -> None:
    """A later one can succeed."""
    app.run("provider", endpoint.url)
    down(endpoint)
    assert app.run("load") == ""
    assert int(app.run("passed")) <= 60_000
    endpoint.faults.clear()
    assert app.run("load") == TOKEN


def test_error_of_the_identity_provider_is_retried(app: App, endpoint: HttpDouble) -> None:
    app.run("provider", endpoint.url)
    app.run("fail", "network", "network")
    assert app.run("load") == TOKEN
    assert len(endpoint.calls.all()) == 1


def test_disabled_user_is_signed_out_once(app: App, endpoint: HttpDouble) -> None:
    app.run("provider", endpoint.url)
    app.run("fail", "disabled")
    assert [app.run("load"), app.run("load")] == ["", ""]
    assert app.run("signed-out") == "1"
    assert not endpoint.calls.all()


def test_provider_whose_user_has_left_stops_asking(app: App, endpoint: HttpDouble) -> None:
    app.run("provider", endpoint.url)
    assert app.run("load") == TOKEN
    down(endpoint)
    app.run("stop-after", 3)
    assert [app.run("load"), app.run("load")] == ["", ""]
    assert len(endpoint.calls.all()) == 4
    assert app.run("signed-out") == "0"


def test_session_keeps_its_token_encrypted(app: App, endpoint: HttpDouble) -> None:
    """The next start of the app uses it. Without the key of the Keystore, no user is signed in."""
    endpoint.faults.respond(grant(1), "POST /v1/sessions")
    endpoint.faults.respond(grant(2), "POST /oauth/token", times=2)
    app.run("install", endpoint.url)
    app.run("sign-up", "ada", "password")
    app.run("sign-in", "ada", "password")
    assert endpoint.calls.to("POST", "/v1/accounts")[0].json == {
        "user_id": "ada",
        "password": "password",
    }
    assert app.run("credential", "false") == "access-1"
    assert "refresh-1" not in app.run("stored")
    app.run("start", endpoint.url)
    assert app.run("credential", "false") == "access-2"
    assert b"refresh_token=refresh-1" in endpoint.calls.to("POST", "/oauth/token")[0].body
    app.run("lose-key")
    app.run("start", endpoint.url)
    assert app.run("credential", "false") == "error: No user is signed in."


def test_sign_out_without_a_network_ends_the_session_at_the_next_start(
    app: App, endpoint: HttpDouble
) -> None:
    endpoint.faults.respond(grant(1), "POST /v1/sessions")
    app.run("install", endpoint.url)
    app.run("sign-in", "ada", "password")
    endpoint.faults.refuse("POST /oauth/revoke")
    app.run("sign-out")
    assert app.run("credential", "false") == "error: No user is signed in."
    app.run("start", endpoint.url)
    assert b"token=refresh-1" in endpoint.calls.to("POST", "/oauth/revoke")[-1].body
    assert app.run("stored") == "{}"


def test_next_start_ends_the_last_ten_sessions(app: App, endpoint: HttpDouble) -> None:
    """If each sign-out was without a network. The oldest comes first."""
    app.run("install", endpoint.url)
    endpoint.faults.refuse("POST /oauth/revoke", times=None)
    for number in range(11):
        endpoint.faults.respond(grant(number), "POST /v1/sessions")
        app.run("sign-in", "ada", "password")
        app.run("sign-out")
    endpoint.faults.clear()
    endpoint.calls.clear()
    app.run("start", endpoint.url)
    ended = [call.body.rpartition(b"=")[2] for call in endpoint.calls.all()]
    assert ended == [b"refresh-%d" % number for number in range(1, 11)]
    assert app.run("stored") == "{}"


PORTAL = [Response(200, b"<html>please pay"), Response(200, {"welcome": "pay"})]


@pytest.mark.parametrize("page", PORTAL, ids=["page", "object"])
def test_success_of_another_server_changes_nothing(
    app: App, endpoint: HttpDouble, page: Response
) -> None:
    """Neither the stored user and key nor the session. The app asks again."""
    app.run("install", endpoint.url)
    me = {"user_id": "ada", "api_key": "first"}
    endpoint.faults.respond(page, "GET /v1/me")
    endpoint.faults.respond(Response(200, me), "GET /v1/me")
    app.run("chat", endpoint.url)
    wait_until(lambda: app.run("calls") == "connect ada first", "the chat is connected")
    app.run("leave")
    endpoint.faults.respond(grant(1, expires_in=0), "POST /v1/sessions")
    app.run("sign-in", "ada", "password")
    endpoint.faults.respond(page, "POST /oauth/token")
    endpoint.faults.respond(grant(2), "POST /oauth/token")
    assert app.run("credential", "false").startswith("error: ")
    assert app.run("credential", "false") == "access-2"


def test_page_of_a_captive_portal_ends_no_session(app: App, endpoint: HttpDouble) -> None:
    endpoint.faults.respond(grant(1), "POST /v1/sessions")
    app.run("install", endpoint.url)
    app.run("sign-in", "ada", "password")
    endpoint.faults.respond(PORTAL[0], "POST /oauth/revoke")
    app.run("sign-out")
    app.run("start", endpoint.url)
    assert len(endpoint.calls.to("POST", "/oauth/revoke")) == 2
    assert app.run("stored") == "{}"


def test_chat_starts_from_what_was_stored_and_is_rebuilt_if_the_service_answers_otherwise(
    app: App, endpoint: HttpDouble
) -> None:
    """Without a network too. When the user leaves, nothing stays stored."""
    app.run("install", endpoint.url)
    me = {"user_id": "ada", "api_key": "first"}
    endpoint.faults.respond(Response(200, me), "GET /v1/me")
    app.run("chat", endpoint.url)
    wait_until(lambda: app.run("calls") == "connect ada first", "the chat is connected")

    endpoint.faults.refuse("GET /v1/me")
    endpoint.faults.respond(Response(200, {**me, "api_key": "second"}), "GET /v1/me")
    app.run("chat", endpoint.url)
    rebuilt = "connect ada first, disconnect, connect ada second"
    wait_until(lambda: app.run("calls") == rebuilt, "the chat is rebuilt")

    app.run("leave")
    assert app.run("calls") == f"{rebuilt}, disconnect device, sign in"
    app.run("chat", endpoint.url)
    assert app.run("calls") == ""


@pytest.mark.parametrize(("left", "told"), [(True, "0"), (False, "1")], ids=["left", "there"])
def test_app_is_told_of_a_refusal_once_and_not_after_the_user_has_left(
    app: App, endpoint: HttpDouble, left: bool, told: str
) -> None:
    """The question of the start and that of an event are answered when the user has left."""
    app.run("install", endpoint.url)
    endpoint.faults.respond(Response(200, {"user_id": "ada", "api_key": "key"}), "GET /v1/me")
    app.run("chat", endpoint.url)
    wait_until(lambda: app.run("threads") == "0", "the chat is connected")
    slow = endpoint.faults.hang("GET /v1/me", times=2)
    app.run("chat", endpoint.url)
    app.run("event")
    endpoint.calls.wait_for("GET", "/v1/me", 3)
    if left:
        app.run("leave")
    endpoint.respond = lambda _: problem(403, "user_suspended")
    slow.release()
    wait_until(lambda: app.run("threads") == "0", "both are answered")
    assert app.run("signed-out") == told
