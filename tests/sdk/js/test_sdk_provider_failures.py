"""What a client with the provider of `examples/` lives through when the service fails."""

import pytest

from testing.doubles.stream import StreamDouble
from testing.response import Response
from tests.sdk.js.chat_client import ChatClient
from tests.sdk.js.sdk_driver import Driver, SdkError

UNAVAILABLE = Response(503, {"code": "temporarily_unavailable", "detail": "later"})


@pytest.mark.parametrize("kind", ["refuse", "cut", "hang"])
def test_connects_although_the_service_fails_at_first(chat: ChatClient, kind: str) -> None:
    """Two failures of any kind at sign-in: `connectUser` takes a little longer."""
    getattr(chat.tokens.faults, kind)("POST /v1/token", times=2)
    chat.make()
    chat.sign_in("john", timeLimit=1_000)
    assert chat.connect("john")["id"] == "john"


def test_goes_on_although_the_service_fails_at_a_refresh(
    chat: ChatClient, stream: StreamDouble
) -> None:
    """The failure that poisons a client with a plain provider passes unseen."""
    chat.make()
    chat.sign_in("john")
    chat.connect("john")
    stream.fail_with(40, "GET /users")
    chat.tokens.faults.respond(UNAVAILABLE, "POST /v1/token", times=2)
    assert chat.query_users() == [["john"]]
    assert chat.query_users() == [["john"]]


def test_reconnects_although_the_service_fails(chat: ChatClient, stream: StreamDouble) -> None:
    """A dropped WebSocket with an expired token comes back once the service does."""
    chat.make()
    chat.sign_in("john")
    chat.connect("john")
    stream.fail_with(40, "GET /connect")
    chat.tokens.faults.respond(UNAVAILABLE, "POST /v1/token", times=2)
    stream.sessions.drop("john")
    chat.wait_for("connection.recovered")
    stream.sessions.wait_for("john")
    assert not chat.driver.call("seen")["unhandled"]


def test_an_answer_that_comes_late_is_waited_for(chat: ChatClient) -> None:
    """A slow service within the time limit is one call, however often the SDK looks."""
    slow = chat.tokens.faults.hang("POST /v1/token")
    chat.make()
    chat.sign_in("john", timeLimit=60_000)
    connecting = chat.driver.begin("connectUser", user={"id": "john"})
    chat.tokens.calls.wait_for("POST", "/v1/token")
    assert not connecting.done()
    slow.release()
    assert connecting.result(timeout=60)["id"] == "john"
    assert chat.token_calls == 1


def test_a_service_that_stays_away_rejects_in_the_end(chat: ChatClient) -> None:
    """`connectUser` rejects with the provider's reason, instead of hanging for ever."""
    chat.tokens.faults.respond(UNAVAILABLE, "POST /v1/token", times=None)
    chat.make()
    chat.sign_in("john", giveUpAfter=1_000)
    with pytest.raises(SdkError, match="Call to tokenProvider failed with message: Error: later"):
        chat.connect("john")


def test_a_plain_provider_hangs_the_client(chat: ChatClient, driver: Driver) -> None:
    """Without a time limit the SDK waits for ever, and never asks Stream: why there is one."""
    chat.make()
    driver.call("makeSimpleProvider", answers=[None])
    connecting = driver.begin("connectUser", user={"id": "john"})
    with pytest.raises(TimeoutError):
        connecting.result(timeout=2)
    assert driver.call("seen")["providerCalls"] == 1
    assert not chat.stream.calls.all()


def test_a_plain_provider_that_fails_once_poisons_the_client(
    chat: ChatClient, stream: StreamDouble, driver: Driver
) -> None:
    """After one failed refresh all later calls fail with it: why the provider tries again."""
    chat.make()
    chat.sign_in("john")
    token = driver.call("callProvider")[0]
    driver.call("makeSimpleProvider", answers=[token, {"throw": "once"}, token])
    chat.connect("john")
    stream.fail_with(40, "GET /users")
    for _ in range(2):
        with pytest.raises(SdkError, match="once"):
            chat.query_users()
    assert driver.call("seen")["providerCalls"] == 3
