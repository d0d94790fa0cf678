"""A token expires or is revoked: the SDK requests a new one and continues, or gets the reason."""

import time

import jwt
import pytest

from testing.doubles.stream import StreamDouble
from tests.sdk.chat_app import ChatApp
from tests.sdk.js.chat_client import ChatClient
from tests.sdk.js.sdk_driver import SdkError


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


def test_revoked_user_gets_no_new_token(
    chat: ChatClient, stream: StreamDouble, app: ChatApp
) -> None:
    """
    Stream refuses the token, and the service does not mint another.

    A service that continued to mint would undo Stream's revocation within a second.
    """
    chat.make()
    chat.sign_in("revoked")
    chat.connect("revoked")
    cut_off = int(time.time()) + 1
    app.set_cut_off("revoked", cut_off)
    stream.app.users["revoked"]["revoke_tokens_issued_before"] = stream.app.timestamp(cut_off)
    with pytest.raises(SdkError, match="signed in before a revocation"):
        chat.query_users()
    assert chat.driver.call("seen")["signedOut"] == ["sign_in_required"]


def test_revoked_user_connects_after_a_new_sign_in(
    chat: ChatClient, stream: StreamDouble, app: ChatApp
) -> None:
    """The new token is not backdated before the cut-off, so Stream accepts it."""
    cut_off = int(time.time()) + 1
    app.set_cut_off("returning", cut_off)
    stream.app.users["returning"] = {
        "id": "returning",
        "revoke_tokens_issued_before": stream.app.timestamp(cut_off),
    }
    while time.time() < cut_off + 2:
        time.sleep(0.05)
    chat.make()
    chat.sign_in("returning")
    assert chat.connect("returning")["id"] == "returning"


def test_suspended_user_is_signed_out_once(
    chat: ChatClient, stream: StreamDouble, app: ChatApp
) -> None:
    """`onSignedOut` gets the reason, and the provider makes no further requests."""
    chat.make()
    chat.sign_in("suspended")
    chat.connect("suspended")
    app.set_suspended("suspended")
    stream.fail_with(40, "GET /users")
    for _ in range(2):
        with pytest.raises(SdkError, match="suspended"):
            chat.query_users()
    assert chat.driver.call("seen")["signedOut"] == ["user_suspended"]
    assert chat.token_calls == 2
