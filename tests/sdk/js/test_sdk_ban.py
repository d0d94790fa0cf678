"""A ban stays a ban: the unmodified SDK of a user who is suspended while connected."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from testing.doubles.stream import StreamDouble
from testing.http_client import Client
from testing.response import Response
from testing.service_clients import basic, make_client
from tests.sdk.chat_app import ChatApp, running_chat_app
from tests.sdk.js.chat_client import ChatClient
from tests.sdk.js.sdk_driver import SdkError
from tokensvc.database.engine import Database

pytestmark = pytest.mark.slow

CUT_OFF = "revoke_tokens_issued_before"


@pytest.fixture
def app(stream: StreamDouble, tmp_path: Path) -> Iterator[ChatApp]:
    """Give an app whose service tells Stream of its acts."""
    delivering = {"STREAM_BASE_URL": stream.url, "TOKENSVC_STREAM__DELIVERY": "on"}
    with running_chat_app(tmp_path, **delivering) as running:
        yield running


@pytest.fixture
def moderator(app: ChatApp, tmp_path: Path) -> Client:
    """Give the app's backend in the hands of a moderator."""
    database = Database.open(f"sqlite:///{tmp_path / 'tokensvc.db'}", pool_size=1)
    client = make_client(database, "moderation", "revocations:write")
    database.close()
    return Client(app.service.base_url, basic(client))


def suspend(moderator: Client, user_id: str) -> Response:
    return moderator.request(
        "PUT",
        f"/v1/users/{user_id}/suspension",
        json={"reason": "spam"},
        headers={"Prefer": "wait=10"},
    )


def signed_out(chat: ChatClient) -> list[str]:
    """Give why the user was signed out, once they are."""
    while not (codes := chat.driver.call("seen")["signedOut"]):
        time.sleep(0.05)
    return list(codes)


def codes_of(stream: StreamDouble, method: str, path: str) -> list[int | None]:
    return [call.facts.get("code") for call in stream.calls.to(method, path)]


@pytest.mark.parametrize("way", ["a call", "a reconnection"])
@pytest.mark.sec(32)
def test_a_ban_stays_a_ban(
    chat: ChatClient, stream: StreamDouble, moderator: Client, way: str
) -> None:
    """
    Stream refuses the token that is out, the SDK asks for another, and there is none.

    The provider of `examples/` signs the user out and asks no more. Reinstated, the user signs in
    and is connected again.
    """
    chat.make()
    chat.sign_in("mallory")
    chat.connect("mallory")
    act = suspend(moderator, "mallory").json
    assert act["stream"]["state"] == "applied"
    assert stream.app.users["mallory"][CUT_OFF] is not None

    if way == "a call":
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
    if way == "a reconnection":
        assert codes_of(stream, "GET", "/connect")[0] is None
        assert set(codes_of(stream, "GET", "/connect")[1:]) == {40}
    chat.driver.call("disconnectUser")

    reinstated = moderator.request("DELETE", "/v1/users/mallory/suspension").json
    assert reinstated["suspended"] is False
    while time.time() < act["tokens_valid_after"] + 2:
        time.sleep(0.05)
    chat.sign_in("mallory")
    assert chat.connect("mallory")["id"] == "mallory"
    assert chat.query_users() == [["mallory"]]


def test_a_user_who_was_signed_out_everywhere_signs_in_again(
    chat: ChatClient, stream: StreamDouble, moderator: Client
) -> None:
    """A revocation sends the user to sign in, and lets them in once they have."""
    chat.make()
    chat.sign_in("ada")
    chat.connect("ada")
    act = moderator.post("/v1/users/ada/revocations", headers={"Prefer": "wait=10"}).json
    with pytest.raises(SdkError, match="sign them in again"):
        chat.query_users()
    assert signed_out(chat) == ["sign_in_required"]
    chat.driver.call("disconnectUser")
    while time.time() < act["tokens_valid_after"] + 2:
        time.sleep(0.05)
    chat.sign_in("ada")
    assert chat.connect("ada")["id"] == "ada"
    assert stream.app.users["ada"][CUT_OFF] is not None
    assert chat.query_users() == [["ada"]]


def test_a_ban_holds_while_stream_is_away(
    chat: ChatClient, stream: StreamDouble, moderator: Client
) -> None:
    """Nobody mints from the answer on; the client is out as soon as Stream can be told."""
    chat.make()
    chat.sign_in("mallory")
    chat.connect("mallory")
    away = stream.faults.hang("PATCH /users", times=None)
    act = moderator.request("PUT", "/v1/users/mallory/suspension").json
    assert act["stream"]["state"] == "pending"
    with pytest.raises(SdkError, match="suspended"):
        chat.driver.call("callProvider")
    assert chat.query_users() == [["mallory"]], "until it is told, Stream takes the token"
    away.release()
    while stream.app.users["mallory"].get(CUT_OFF) is None:
        time.sleep(0.05)
    with pytest.raises(SdkError, match="suspended"):
        chat.query_users()
