"""The open connection of a user whose access has ended: the unmodified SDK with `watchAccess`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from testing.doubles.http_double import HttpDouble
from testing.doubles.stream import StreamDouble
from testing.response import Response
from testing.sdk_driver import Driver
from tests.sdk.chat_app import ChatApp, running_chat_app
from tests.sdk.js.chat_client import ChatClient

pytestmark = pytest.mark.slow

EVENT = "tokensvc_check"
CHANNEL = "lobby"


@pytest.fixture
def app(stream: StreamDouble, tmp_path: Path) -> Iterator[ChatApp]:
    """Yield an app whose service delivers to the Stream double."""
    with running_chat_app(tmp_path, stream) as running:
        yield running


@pytest.fixture
def watched(chat: ChatClient, app: ChatApp, tokens: HttpDouble) -> ChatClient:
    """Return the client of Ada, who is connected, and who leaves when her access ends."""
    chat.make()
    chat.sign_in("ada")
    url = f"{tokens.url}/v1/me"
    chat.driver.call("watchAccess", url=url, credential=app.sign_in("ada"), giveUpAfter=0)
    chat.connect("ada")
    return chat


def send_event(stream: StreamDouble) -> None:
    """Send the event to Ada as the service does."""
    for session in stream.sessions.wait_for("ada"):
        session.push({"type": EVENT})


def ask_again(chat: ChatClient, stream: StreamDouble, count: int) -> list[int | None]:
    """
    Send the event once more, and return the statuses of all questions when there are `count`.

    A client that has left does not ask.
    """
    send_event(stream)
    chat.tokens.calls.wait_for("GET", "/v1/me", count)
    chat.tokens.calls.wait_until_done()
    return [call.status for call in chat.tokens.calls.to("GET", "/v1/me")]


@pytest.mark.parametrize(
    ("end", "code"), [("suspend", "user_suspended"), ("revoke", "sign_in_required")]
)
def test_open_connection_leaves_when_access_ends(
    watched: ChatClient, stream: StreamDouble, app: ChatApp, end: str, code: str
) -> None:
    """The app is told once. No call of the SDK is needed, and none follows."""
    assert getattr(app, end)("ada").status == 200
    stream.sessions.wait_for("ada", count=0)
    seen = watched.driver.call("seen")
    assert (seen["left"], seen["signedOut"]) == ([code], [])
    assert watched.driver.call("userID") is None
    assert watched.token_calls == 1


def test_forged_event_of_another_user_changes_nothing(
    watched: ChatClient, stream: StreamDouble, app: ChatApp, node: Path, tokens: HttpDouble
) -> None:
    """Any user can send one in a channel. The client does not even ask the service."""
    with Driver(node) as other:
        mallory = ChatClient(other, app, stream, tokens)
        mallory.make()
        mallory.sign_in("mallory")
        mallory.connect("mallory")
        for client in (mallory, watched):
            client.driver.call("watchChannel", id=CHANNEL)
        other.call("sendEvent", id=CHANNEL, type=EVENT)
        watched.wait_for(EVENT)
        assert ask_again(watched, stream, 1) == [200]
    assert watched.driver.call("seen")["left"] == []


def test_event_to_a_user_with_access_changes_nothing(
    watched: ChatClient, stream: StreamDouble
) -> None:
    send_event(stream)
    watched.tokens.calls.wait_for("GET", "/v1/me")
    assert ask_again(watched, stream, 2) == [200, 200]
    assert watched.driver.call("seen")["left"] == []


def test_outage_of_the_service_does_not_sign_out(
    watched: ChatClient, stream: StreamDouble, app: ChatApp
) -> None:
    """Only an answer does: the one to the next event, here."""
    watched.tokens.faults.respond(Response(503, {}), "GET /v1/me")
    watched.tokens.faults.refuse("GET /v1/me")
    send_event(stream)
    watched.tokens.calls.wait_for("GET", "/v1/me")
    assert ask_again(watched, stream, 2) == [503, None]
    assert watched.driver.call("seen")["left"] == []
    app.suspend("ada")
    stream.sessions.wait_for("ada", count=0)
    assert watched.driver.call("seen")["left"] == ["user_suspended"]


def test_answer_after_the_user_has_left_signs_nobody_out(watched: ChatClient, app: ChatApp) -> None:
    """Another user may have signed in meanwhile."""
    slow = watched.tokens.faults.hang("GET /v1/me")
    app.suspend("ada")
    watched.tokens.calls.wait_for("GET", "/v1/me")
    watched.driver.call("disconnectUser")
    slow.release()
    watched.tokens.calls.wait_until_done()
    assert watched.tokens.calls.to("GET", "/v1/me")[0].status == 403
    assert watched.driver.call("seen")["left"] == []
