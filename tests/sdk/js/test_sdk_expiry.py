"""A token expires or is revoked: the SDK requests a new one and continues, or gets the reason."""

import time

import jwt

from testing.doubles.stream import StreamDouble
from tests.sdk.js.chat_client import ChatClient


def expire_the_token(chat: ChatClient, stream: StreamDouble) -> int:
    """
    Stop Stream's clock at the expiry of the client's token, and return its `exp`.

    Stream accepts tokens that are minted from now on, because they expire at least a second later.
    """
    token = chat.tokens.calls.to("POST", "/v1/token")[-1].response.json["token"]
    claims = jwt.decode(token, options={"verify_signature": False})
    while int(time.time()) <= claims["iat"] + 5:
        time.sleep(0.05)
    stream.clock.frozen_at = claims["exp"]
    return claims["exp"]


def test_call_with_an_expired_token_is_repeated_with_a_new_one(
    chat: ChatClient, stream: StreamDouble
) -> None:
    """Code 40 causes one more call of the provider. The application sees only the response."""
    chat.make()
    chat.sign_in("patient")
    chat.connect("patient")
    expire_the_token(chat, stream)
    assert chat.query_users() == [["patient"]]
    assert [call.facts.get("code") for call in stream.calls.to("GET", "/users")] == [40, None]
    assert chat.token_calls == 2
    assert chat.query_users() == [["patient"]]
    assert chat.token_calls == 2


def test_concurrent_calls_with_an_expired_token_all_succeed(
    chat: ChatClient, stream: StreamDouble
) -> None:
    """The SDK calls the provider for each, and the service's limit permits it."""
    chat.make()
    chat.sign_in("busy")
    chat.connect("busy")
    expire_the_token(chat, stream)
    holding = stream.faults.hang("GET /users", times=3)
    queries = chat.driver.begin("queryUsers", times=3)
    stream.calls.wait_for("GET", "/users", 3)
    holding.release()
    assert queries.result(timeout=60) == [["busy"]] * 3
    assert chat.driver.call("seen")["providerCalls"] == 4
    assert {call.status for call in chat.tokens.calls.all()} == {200}


def test_dropped_connection_is_reopened_with_a_new_token(
    chat: ChatClient, stream: StreamDouble
) -> None:
    """The connection outlives its token. After it drops, the SDK uses a new one."""
    chat.make()
    chat.sign_in("dropped")
    chat.connect("dropped")
    expire_the_token(chat, stream)
    stream.sessions.drop("dropped")
    chat.wait_for("connection.recovered")
    stream.sessions.wait_for("dropped")
    codes = [call.facts.get("code") for call in stream.calls.to("GET", "/connect")]
    assert (codes[0], 40 in codes, codes[-1]) == (None, True, None)
    assert chat.query_users() == [["dropped"]]
