"""The unmodified SDK with a user of a built-in account, over an expiry and a restart."""

import time
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest

from testing.account_world import AccountWorld, running_account_world
from testing.doubles.http_double import HttpDouble
from testing.doubles.stream import StreamDouble
from testing.sdk_driver import Driver, SdkError
from testing.service import STREAM_API_KEY, start_service
from tests.sdk.chat_app import ChatApp
from tests.sessions.access_tokens.access import unverified

ADA = {"userId": "ada", "password": "copper lantern drifts home"}
SETTINGS = {
    "TOKENSVC_ACCOUNTS__SIGN_UP": "open",
    "TOKENSVC_ACCOUNTS__USER_ID_PREFIX": "a",
    "TOKENSVC_ISSUERS": "[]",
    "TOKENSVC_SHARED_USER_IDS": "false",
    "TOKENSVC_SESSIONS__ACCESS_TTL": "10",
    "TOKENSVC_TOKEN__JITTER": "0",
}
"""The session of `clients/js` renews an access token half a minute before its end."""


class AccountApp(AccountWorld, ChatApp):
    """The app, whose users have accounts of the service."""


@pytest.fixture
def app(tmp_path: Path) -> Iterator[AccountApp]:
    with running_account_world(tmp_path, AccountApp, **SETTINGS) as running:
        yield running
        running.service.stop()


@pytest.fixture
def chat(driver: Driver, stream: StreamDouble, tokens: HttpDouble) -> Driver:
    """Return the SDK and the package of `clients/js`, with a user who has signed up and in."""
    driver.call("makeSession", url=tokens.url)
    driver.call("signUp", **ADA)
    driver.call("signIn", **ADA)
    url = f"{tokens.url}/v1/token"
    driver.call("makeProvider", url=url, apiKey=STREAM_API_KEY, ofSession=True)
    driver.call("makeClient", apiKey=STREAM_API_KEY, baseURL=stream.url, options={})
    assert driver.call("connectUser", user={"id": "ada"})["id"] == "ada"
    return driver


def test_chat_goes_on_over_an_expired_access_token_and_a_restart(
    app: AccountApp, stream: StreamDouble, tokens: HttpDouble, chat: Driver
) -> None:
    (refreshed,) = tokens.calls.to("POST", "/oauth/token")
    access_token = refreshed.response.json["access_token"]
    (minted,) = tokens.calls.to("POST", "/v1/token")
    claims = jwt.decode(minted.response.json["token"], options={"verify_signature": False})

    app.service.stop()
    app.service = start_service(app.folder, **app.settings)
    while time.time() <= max(unverified(access_token)["exp"], claims["iat"] + 5):
        time.sleep(0.05)
    assert app.with_token(access_token).get("/v1/me").code == "credentials_expired"
    stream.clock.frozen_at = claims["exp"]  # Stream refuses the user's token with code 40
    assert chat.call("queryUsers", times=1) == [["ada"]]
    calls = [(call.path, call.status) for call in tokens.calls.all()]
    minting = [("/oauth/token", 200), ("/v1/token", 200)]
    assert calls == [("/v1/accounts", 201), ("/v1/sessions", 200), *minting, *minting]
    assert chat.call("seen")["sessionEnds"] == []


def test_end_of_the_session_signs_the_chat_out(app: AccountApp, chat: Driver) -> None:
    app.revoke_token(chat.call("seen")["stored"][-1])
    with pytest.raises(SdkError, match="Sign the user in again"):
        chat.call("callProvider")
    assert chat.call("seen")["sessionEnds"] == ["invalid_grant"]
