"""A token expires or is revoked: the SDK asks again, and goes on or is told why not."""

import time

import jwt
import pytest

from testing.doubles.stream import StreamDouble
from tests.sdk.chat_app import ChatApp
from tests.sdk.js.chat_client import ChatClient
from tests.sdk.js.sdk_driver import SdkError


def expire_the_token(chat: ChatClient, stream: StreamDouble) -> int:
    """
    Stop Stream's clock at the second in which the client's token expires, and give its `exp`.

    A token that is minted from now on lives a second longer at least, so Stream takes it.
    """
    token = chat.tokens.calls.to("POST", "/v1/token")[-1].response.json["token"]
    claims = jwt.decode(token, options={"verify_signature": False})
    while int(time.time()) <= claims["iat"] + 5:
        time.sleep(0.05)
    stream.clock.frozen_at = claims["exp"]
    return claims["exp"]


def test_a_call_with_an_expired_token_is_repeated_with_a_new_one(
    chat: ChatClient, stream: StreamDouble
) -> None:
    """Code 40 costs one more call of the provider; the application sees the answer alone."""
    chat.make()
    chat.sign_in("patient")
    chat.connect("patient")
    expire_the_token(chat, stream)
    assert chat.query_users() == [["patient"]]
    assert [call.facts.get("code") for call in stream.calls.to("GET", "/users")] == [40, None]
    assert chat.token_calls == 2
    assert chat.query_users() == [["patient"]]
    assert chat.token_calls == 2


def test_calls_that_expire_together_are_all_answered(
    chat: ChatClient, stream: StreamDouble
) -> None:
    """The SDK asks for each of them, spread over seconds; the service's limit lets that pass."""
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


def test_a_dropped_connection_comes_back_with_a_new_token(
    chat: ChatClient, stream: StreamDouble
) -> None:
    """A WebSocket outlives its token; once dropped, the SDK reconnects with a new one."""
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


def test_a_revoked_user_gets_no_further_token(
    chat: ChatClient, stream: StreamDouble, app: ChatApp
) -> None:
    """
    Both halves of a revocation: Stream refuses the token, and the service makes no new one.

    A service that went on minting would undo Stream's revocation within a second.
    """
    chat.make()
    chat.sign_in("revoked")
    chat.connect("revoked")
    cut_off = int(time.time()) + 1
    app.revoke("revoked", cut_off)
    stream.app.users["revoked"]["revoke_tokens_issued_before"] = stream.app.timestamp(cut_off)
    with pytest.raises(SdkError, match="signed in before a revocation"):
        chat.query_users()
    assert chat.driver.call("seen")["signedOut"] == ["sign_in_required"]


def test_a_user_who_signs_in_again_is_let_in(
    chat: ChatClient, stream: StreamDouble, app: ChatApp
) -> None:
    """A token minted right after the cut-off is not dated back before it: Stream takes it."""
    cut_off = int(time.time()) + 1
    app.revoke("returning", cut_off)
    stream.app.users["returning"] = {
        "id": "returning",
        "revoke_tokens_issued_before": stream.app.timestamp(cut_off),
    }
    while time.time() < cut_off + 2:
        time.sleep(0.05)
    chat.make()
    chat.sign_in("returning")
    assert chat.connect("returning")["id"] == "returning"


def test_a_suspended_user_is_told_and_the_service_left_alone(
    chat: ChatClient, stream: StreamDouble, app: ChatApp
) -> None:
    """`onSignedOut` is called once with the reason, whatever the SDK does afterwards."""
    chat.make()
    chat.sign_in("suspended")
    chat.connect("suspended")
    app.suspend("suspended")
    stream.fail_with(40, "GET /users")
    for _ in range(2):
        with pytest.raises(SdkError, match="suspended"):
            chat.query_users()
    assert chat.driver.call("seen")["signedOut"] == ["user_suspended"]
    assert chat.token_calls == 2
