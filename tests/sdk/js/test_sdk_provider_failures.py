"""A client with the provider of `clients/js` while the service fails."""

import pytest

from testing.doubles.stream import StreamDouble
from testing.response import Response
from testing.sdk_driver import Driver, SdkError
from tests.sdk.chat_app import ChatApp
from tests.sdk.js.chat_client import ChatClient

UNAVAILABLE = Response(503, {"code": "temporarily_unavailable", "detail": "later"})


@pytest.mark.parametrize("kind", ["refuse", "cut", "hang"])
def test_client_connects_after_two_failures(chat: ChatClient, kind: str) -> None:
    getattr(chat.tokens.faults, kind)("POST /v1/token", times=2)
    chat.make()
    chat.sign_in("john", timeLimit=1_000)
    assert chat.connect("john")["id"] == "john"


def test_client_continues_after_a_failed_refresh(chat: ChatClient, stream: StreamDouble) -> None:
    """The same failure breaks a client with a simple provider."""
    chat.make()
    chat.sign_in("john")
    chat.connect("john")
    stream.fail_with(40, "GET /users")
    chat.tokens.faults.respond(UNAVAILABLE, "POST /v1/token", times=2)
    assert chat.query_users() == [["john"]]
    assert chat.query_users() == [["john"]]


def test_client_continues_after_a_failure_of_the_identity_provider(
    chat: ChatClient, app: ChatApp, stream: StreamDouble
) -> None:
    """Its token was to be renewed while the device had no network."""
    credential = app.sign_in("john")
    chat.make()
    chat.sign_in(
        "john", credentials=[credential, {"throw": "auth/network-request-failed"}, credential]
    )
    chat.connect("john")
    stream.fail_with(40, "GET /users")
    assert chat.query_users() == [["john"]]
    assert chat.query_users() == [["john"]]
    assert chat.driver.call("seen")["refreshes"] == [False] * 3


@pytest.mark.parametrize("event", ["GET /users", "GET /connect"])
def test_client_sends_after_an_outage_of_three_minutes(
    chat: ChatClient, stream: StreamDouble, event: str
) -> None:
    """Its token ends in the outage: at a request, or at a reconnection. No reload is needed."""
    chat.make()
    chat.sign_in("john", giveUpAfter=1)
    chat.connect("john")
    chat.tokens.faults.refuse(times=None)
    stream.fail_with(40, event)
    if event == "GET /connect":
        stream.sessions.drop("john")
    else:
        waiting = chat.driver.begin("queryUsers")
    chat.tokens.calls.wait_for("POST", "/v1/token", 2)
    chat.driver.call("stopClock")
    pauses = chat.driver.call("passTime", time=180_000)
    assert len(pauses) >= 6
    assert max(pauses) <= 30_000
    chat.tokens.faults.clear()
    chat.driver.call("startClock")
    if event == "GET /connect":
        chat.wait_for("connection.recovered")
    else:
        assert waiting.result(timeout=60) == [["john"]]
    assert chat.query_users() == [["john"]]
    assert not chat.driver.call("seen")["unhandled"]


def test_client_reconnects_after_failures(chat: ChatClient, stream: StreamDouble) -> None:
    """Its WebSocket was dropped and its token had expired."""
    chat.make()
    chat.sign_in("john")
    chat.connect("john")
    stream.fail_with(40, "GET /connect")
    chat.tokens.faults.respond(UNAVAILABLE, "POST /v1/token", times=2)
    stream.sessions.drop("john")
    chat.wait_for("connection.recovered")
    stream.sessions.wait_for("john")
    assert not chat.driver.call("seen")["unhandled"]


def test_slow_response_is_awaited_with_one_call(chat: ChatClient) -> None:
    slow = chat.tokens.faults.hang("POST /v1/token")
    chat.make()
    chat.sign_in("john", timeLimit=60_000)
    connecting = chat.driver.begin("connectUser", user={"id": "john"})
    chat.tokens.calls.wait_for("POST", "/v1/token")
    assert not connecting.done()
    slow.release()
    assert connecting.result(timeout=60)["id"] == "john"
    assert chat.token_calls == 1


def test_unavailable_service_rejects_with_the_reason(chat: ChatClient) -> None:
    chat.tokens.faults.respond(UNAVAILABLE, "POST /v1/token", times=None)
    chat.make()
    chat.sign_in("john", giveUpAfter=1_000)
    with pytest.raises(
        SdkError, match="Call to tokenProvider failed with message: ServiceError: later"
    ):
        chat.connect("john")


def test_simple_provider_without_time_limit_blocks_the_client(
    chat: ChatClient, driver: Driver
) -> None:
    """The SDK waits indefinitely and does not call Stream. The time limit prevents this."""
    chat.make()
    driver.call("makeSimpleProvider", results=[None])
    connecting = driver.begin("connectUser", user={"id": "john"})
    with pytest.raises(TimeoutError):
        connecting.result(timeout=2)
    assert driver.call("seen")["providerCalls"] == 1
    assert not chat.stream.calls.all()


def test_simple_provider_breaks_the_client_after_one_failure(
    chat: ChatClient, stream: StreamDouble, driver: Driver
) -> None:
    """All later calls fail with the same reason. The retries prevent this."""
    chat.make()
    chat.sign_in("john")
    token = driver.call("callProvider")[0]
    driver.call("makeSimpleProvider", results=[token, {"throw": "once"}, token])
    chat.connect("john")
    stream.fail_with(40, "GET /users")
    for _ in range(2):
        with pytest.raises(SdkError, match="once"):
            chat.query_users()
    assert driver.call("seen")["providerCalls"] == 3
