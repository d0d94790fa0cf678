"""The unmodified JavaScript SDK connects with tokens of the real service."""

import jwt
import pytest

from testing.doubles.stream import StreamDouble
from testing.service import STREAM_API_KEY
from tests.sdk.chat_app import OTHER_KEY, ChatApp
from tests.sdk.js.chat_client import ChatClient
from tests.sdk.js.sdk_driver import Driver, SdkError


def test_connects_over_a_websocket(chat: ChatClient, stream: StreamDouble) -> None:
    """`connectUser` resolves with the user, calls work, and one token was enough."""
    chat.make()
    chat.sign_in("john")
    assert chat.connect("john", name="John")["name"] == "John"
    (session,) = stream.sessions.wait_for("john")
    assert session.transport == "websocket"
    assert chat.query_users() == [["john"]]
    assert chat.token_calls == 1


def test_connects_with_a_token_that_was_fetched_before(
    chat: ChatClient, app: ChatApp, driver: Driver
) -> None:
    """As a fixed token too, which the SDK takes apart itself to compare the user."""
    token = app.mint(app.sign_in("static-user")).json()["token"]
    chat.make()
    me = driver.call("connectUser", user={"id": "static-user"}, token=token)
    assert me["id"] == "static-user"


def test_the_user_object_arrives_at_stream(chat: ChatClient, stream: StreamDouble) -> None:
    """Name, custom data and privacy settings pass the service's check and reach Stream whole."""
    user = {
        "name": "Jürgen",
        "image": "https://example.com/j.png",
        "favourite": {"colour": "red"},
        "privacy_settings": {
            "typing_indicators": {"enabled": False},
            "read_receipts": {"enabled": False},
            "delivery_receipts": {"enabled": True},
        },
    }
    chat.make()
    chat.sign_in("private-user", user={"id": "private-user", **user})
    me = chat.connect("private-user", **user)
    stored = stream.app.users["private-user"]
    assert {name: stored[name] for name in user} == user
    assert {name: me[name] for name in user} == user


def test_a_user_object_that_stream_would_refuse_is_refused_before(chat: ChatClient) -> None:
    """The service's check reaches the developer as the reason why `connectUser` failed."""
    chat.make()
    chat.sign_in("climber", user={"id": "climber", "role": "admin"})
    with pytest.raises(SdkError, match="Only a server may set role"):
        chat.connect("climber")


def test_a_second_user_signs_in_after_the_first(chat: ChatClient, stream: StreamDouble) -> None:
    """One client, two users in turn: each with a token of their own, and the first is gone."""
    chat.make()
    chat.sign_in("first")
    chat.connect("first")
    chat.driver.call("disconnectUser")
    stream.sessions.wait_for("first", 0)
    chat.sign_in("second")
    assert chat.connect("second")["id"] == "second"
    assert [call.facts["user_id"] for call in stream.calls.to("GET", "/connect")] == [
        "first",
        "second",
    ]
    assert chat.query_users() == [["first", "second"]]
    assert chat.token_calls == 2


def test_another_users_credential_does_not_connect(chat: ChatClient) -> None:
    """Who is signed in as one and connects as another is stopped by Stream: the token says who."""
    chat.make()
    chat.sign_in("mallory")
    with pytest.raises(SdkError, match='"code":5'):
        chat.connect("john")


def test_a_token_of_another_key_is_fatal(chat: ChatClient, stream: StreamDouble) -> None:
    """Built with a key that the service does not sign for: code 43, and no second attempt."""
    chat.make(api_key=OTHER_KEY)
    chat.sign_in("wrong-key", apiKey=None)
    with pytest.raises(SdkError, match='"code":43'):
        chat.connect("wrong-key")
    assert len(stream.calls.to("GET", "/connect")) == chat.token_calls == 1


def test_naming_the_key_turns_a_fatal_error_into_a_readable_one(
    chat: ChatClient, stream: StreamDouble
) -> None:
    """With `apiKey` named the service says so before Stream is asked."""
    chat.make(api_key=OTHER_KEY)
    chat.sign_in("named-key", apiKey=OTHER_KEY)
    with pytest.raises(SdkError, match="`api_key` is unknown or retired"):
        chat.connect("named-key")
    assert not stream.calls.all()


def test_a_key_that_stream_does_not_know_is_fatal(chat: ChatClient, stream: StreamDouble) -> None:
    """A key that was removed at Stream: code 2, and no second attempt."""
    del stream.app.keys[STREAM_API_KEY]
    chat.make()
    chat.sign_in("no-key")
    with pytest.raises(SdkError, match='"code":2,'):
        chat.connect("no-key")
    assert len(stream.calls.to("GET", "/connect")) == 1


@pytest.mark.sec(24)
def test_a_minted_token_is_no_credential_here(app: ChatApp) -> None:
    """The service does not take its own tokens: neither as they are nor by another way in."""
    token = app.mint(app.sign_in("john")).json()["token"]
    assert jwt.decode(token, options={"verify_signature": False})["user_id"] == "john"
    answer = app.mint(token)
    assert (answer.status, answer.json()["code"]) == (401, "credentials_invalid")
