"""The unmodified SDK of a user who is suspended or revoked while connected."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from testing.doubles.stream import StreamDouble
from testing.sdk_driver import SdkError
from testing.world import CUT_OFF, WAIT
from tests.sdk.chat_app import ChatApp, running_chat_app
from tests.sdk.js.chat_client import ChatClient

pytestmark = pytest.mark.slow


@pytest.fixture
def app(stream: StreamDouble, tmp_path: Path) -> Iterator[ChatApp]:
    """Yield an app whose service delivers to the Stream double."""
    with running_chat_app(tmp_path, stream) as running:
        yield running


def signed_out(chat: ChatClient) -> list[str]:
    """Wait until the user is signed out, and return the reasons."""
    while not (codes := chat.driver.call("seen")["signedOut"]):
        time.sleep(0.05)
    return list(codes)


def codes_of(stream: StreamDouble, method: str, path: str) -> list[int | None]:
    return [call.facts.get("code") for call in stream.calls.to(method, path)]


@pytest.mark.parametrize("trigger", ["a call", "a reconnection"])
@pytest.mark.sec(32)
def test_suspended_user_stays_signed_out(
    chat: ChatClient, stream: StreamDouble, app: ChatApp, trigger: str
) -> None:
    """
    Stream refuses the current token, and the SDK gets no other.

    The provider of `examples/` signs the user out and makes no further requests. After the
    reinstatement the user signs in and connects again.
    """
    chat.make()
    chat.sign_in("mallory")
    chat.connect("mallory")
    result = app.suspend("mallory", json={"reason": "spam"}, headers=WAIT).json
    assert result["stream"]["state"] == "applied"
    assert stream.app.users["mallory"][CUT_OFF] is not None

    if trigger == "a call":
        with pytest.raises(SdkError, match="suspended"):
            chat.query_users()
        assert codes_of(stream, "GET", "/users")[-1] == 40
    else:
        stream.sessions.drop("mallory")
    assert signed_out(chat) == ["user_suspended"]
    for _ in range(3):
        with pytest.raises(SdkError, match="suspended"):
            chat.driver.call("callProvider")
    assert chat.token_calls == 2
    assert [call.status for call in chat.tokens.calls.to("POST", "/v1/token")] == [200, 403]
    if trigger == "a reconnection":
        assert codes_of(stream, "GET", "/connect")[0] is None
        assert set(codes_of(stream, "GET", "/connect")[1:]) == {40}
    chat.driver.call("disconnectUser")

    reinstated = app.reinstate("mallory").json
    assert reinstated["suspended"] is False
    while time.time() < result["tokens_valid_after"] + 2:
        time.sleep(0.05)
    chat.sign_in("mallory")
    assert chat.connect("mallory")["id"] == "mallory"
    assert chat.query_users() == [["mallory"]]


def test_revoked_user_is_signed_out_and_signs_in_again(
    chat: ChatClient, stream: StreamDouble, app: ChatApp
) -> None:
    chat.make()
    chat.sign_in("ada")
    chat.connect("ada")
    result = app.revoke("ada", headers=WAIT).json
    with pytest.raises(SdkError, match="sign them in again"):
        chat.query_users()
    assert signed_out(chat) == ["sign_in_required"]
    chat.driver.call("disconnectUser")
    while time.time() < result["tokens_valid_after"] + 2:
        time.sleep(0.05)
    chat.sign_in("ada")
    assert chat.connect("ada")["id"] == "ada"
    assert stream.app.users["ada"][CUT_OFF] is not None
    assert chat.query_users() == [["ada"]]


def test_suspension_stops_mints_while_stream_is_unavailable(
    chat: ChatClient, stream: StreamDouble, app: ChatApp
) -> None:
    """Stream accepts the current token only until it has the cut-off."""
    chat.make()
    chat.sign_in("mallory")
    chat.connect("mallory")
    away = stream.faults.hang("PATCH /users", times=None)
    result = app.suspend("mallory").json
    assert result["stream"]["state"] == "pending"
    with pytest.raises(SdkError, match="suspended"):
        chat.driver.call("callProvider")
    assert chat.query_users() == [["mallory"]], "Stream accepts the token without the cut-off"
    away.release()
    while stream.app.users["mallory"].get(CUT_OFF) is None:
        time.sleep(0.05)
    with pytest.raises(SdkError, match="suspended"):
        chat.query_users()
