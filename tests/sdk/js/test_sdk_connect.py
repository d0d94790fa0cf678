"""The unmodified JavaScript SDK connects with tokens of the real service."""

import pytest

from testing.doubles.stream import StreamDouble
from testing.sdk_driver import Driver, SdkError
from testing.service import STREAM_API_KEY
from tests.sdk.chat_app import OTHER_KEY, ChatApp
from tests.sdk.js.chat_client import ChatClient


def test_client_connects_over_a_websocket(chat: ChatClient, stream: StreamDouble) -> None:
    """One token is enough for the connection and for calls."""
    chat.make()
    chat.sign_in("john")
    assert chat.connect("john", name="John")["name"] == "John"
    (session,) = stream.sessions.wait_for("john")
    assert session.transport == "websocket"
    assert chat.query_users() == [["john"]]
    assert chat.token_calls == 1


def test_client_connects_with_a_static_token(
    chat: ChatClient, app: ChatApp, driver: Driver
) -> None:
    """The SDK parses the token to compare the user."""
    token = app.mint(app.sign_in("static-user")).json()["token"]
    chat.make()
    me = driver.call("connectUser", user={"id": "static-user"}, token=token)
    assert me["id"] == "static-user"


def test_user_object_reaches_stream(chat: ChatClient, stream: StreamDouble) -> None:
    """With name, custom data and privacy settings."""
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


def test_invalid_user_object_is_refused_by_the_service(chat: ChatClient) -> None:
    """The service's reason is the rejection of `connectUser`."""
    chat.make()
    chat.sign_in("climber", user={"id": "climber", "role": "admin"})
    with pytest.raises(SdkError, match="Only a server may set role"):
        chat.connect("climber")


def test_second_user_connects_after_the_first(chat: ChatClient, stream: StreamDouble) -> None:
    """Each user has a separate token and connection."""
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


def test_credential_of_another_user_does_not_connect(chat: ChatClient) -> None:
    """Stream compares the user of the token."""
    chat.make()
    chat.sign_in("mallory")
    with pytest.raises(SdkError, match='"code":5'):
        chat.connect("john")


def test_token_of_another_key_is_fatal(chat: ChatClient, stream: StreamDouble) -> None:
    """Stream sends code 43, after which the SDK does not retry."""
    chat.make(api_key=OTHER_KEY)
    chat.sign_in("wrong-key", apiKey=None)
    with pytest.raises(SdkError, match='"code":43'):
        chat.connect("wrong-key")
    assert len(stream.calls.to("GET", "/connect")) == chat.token_calls == 1


def test_named_unknown_key_is_refused_by_the_service(
    chat: ChatClient, stream: StreamDouble
) -> None:
    """Stream is not called."""
    chat.make(api_key=OTHER_KEY)
    chat.sign_in("named-key", apiKey=OTHER_KEY)
    with pytest.raises(SdkError, match="`api_key` is unknown or retired"):
        chat.connect("named-key")
    assert not stream.calls.all()


def test_key_unknown_to_stream_is_fatal(chat: ChatClient, stream: StreamDouble) -> None:
    """Stream sends code 2, after which the SDK does not retry."""
    del stream.app.keys[STREAM_API_KEY]
    chat.make()
    chat.sign_in("no-key")
    with pytest.raises(SdkError, match='"code":2,'):
        chat.connect("no-key")
    assert len(stream.calls.to("GET", "/connect")) == 1
