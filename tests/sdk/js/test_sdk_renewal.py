"""Two devices of one user with the unmodified SDK: one session ends, the other goes on."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from testing.account_world import AccountWorld, running_account_world
from testing.doubles.http_double import HttpDouble
from testing.doubles.stream import StreamDouble
from testing.http_client import Client
from testing.sdk_driver import Driver, SdkError
from testing.service import STREAM_API_KEY
from testing.waiting import wait_until
from testing.world import CUT_OFF
from tests.sdk.chat_app import ChatApp

ADA = {"userId": "ada", "password": "copper lantern drifts home"}


class AccountApp(AccountWorld, ChatApp):
    """The app, whose users have accounts of the service."""


@dataclass
class Device:
    """
    A device with the SDK and the package of `clients/js`, signed in and connected.

    Attributes:
        tokens: Double between the device and the service, which records the calls.
    """

    app: AccountApp
    driver: Driver
    tokens: HttpDouble

    def sign_in(self, stream_url: str) -> None:
        self.driver.call("makeSession", url=self.tokens.url)
        self.driver.call("signIn", **ADA)
        url = f"{self.tokens.url}/v1/token"
        self.driver.call("makeProvider", url=url, apiKey=STREAM_API_KEY, ofSession=True)
        self.driver.call("makeClient", apiKey=STREAM_API_KEY, baseURL=stream_url, options={})
        assert self.driver.call("connectUser", user={"id": "ada"})["id"] == "ada"

    @property
    def api(self) -> Client:
        """The service with the device's access token."""
        (access_token,) = self.driver.call("getCredential")
        return self.app.with_token(access_token)

    def query_users(self) -> object:
        return self.driver.call("queryUsers", times=1)

    def mints(self) -> list[int]:
        """Return the statuses of the device's requests for Stream tokens, without repetitions."""
        statuses = [call.status for call in self.tokens.calls.to("POST", "/v1/token")]
        return [status for status in statuses if status != 503]


@pytest.fixture
def app(tmp_path: Path, stream: StreamDouble) -> Iterator[AccountApp]:
    """Yield an app whose service delivers to the Stream double."""
    settings = {
        "STREAM_BASE_URL": stream.url,
        "TOKENSVC_STREAM__DELIVERY": "on",
        "TOKENSVC_ACCOUNTS__SIGN_UP": "open",
        "TOKENSVC_ISSUERS": "[]",
        "TOKENSVC_SHARED_USER_IDS": "false",
    }
    with running_account_world(tmp_path, AccountApp, **settings) as running:
        account = {"user_id": ADA["userId"], "password": ADA["password"]}
        assert running.anonymous.post("/v1/accounts", json=account).status == 201
        yield running


@contextmanager
def connected(app: AccountApp, node: Path, stream: StreamDouble) -> Iterator[Device]:
    """Run a device of ada until the block ends."""
    with Driver(node) as driver, HttpDouble(app.respond, clock=time.time) as tokens:
        device = Device(app, driver, tokens)
        device.sign_in(stream.url)
        yield device


@pytest.fixture
def phone(app: AccountApp, node: Path, stream: StreamDouble) -> Iterator[Device]:
    with connected(app, node, stream) as device:
        yield device


@pytest.fixture
def tablet(app: AccountApp, node: Path, stream: StreamDouble) -> Iterator[Device]:
    with connected(app, node, stream) as device:
        yield device


def end_from_the_tablet(phone: Device, tablet: Device) -> None:
    """End the session of a lost phone."""
    sessions = tablet.api.get("/v1/me/sessions").json["items"]
    (lost,) = [session["id"] for session in sessions if not session["current"]]
    assert tablet.api.request("DELETE", f"/v1/me/sessions/{lost}").status == 204


def sign_out_with_a_renewal(phone: Device, tablet: Device) -> None:
    ended = phone.api.request("DELETE", "/v1/sessions/current", query={"renew": True})
    assert ended.status == 204


@pytest.mark.sec(33)
@pytest.mark.parametrize("end", [end_from_the_tablet, sign_out_with_a_renewal])
def test_ended_device_is_refused_for_good_and_the_other_goes_on(
    phone: Device, tablet: Device, stream: StreamDouble, end
) -> None:
    """
    Stream refuses the tokens of both (code 40), and both ask the service for another.

    The ended device gets 401. The other gets one and repeats its call: its user notices nothing.
    """
    assert phone.query_users() == tablet.query_users() == [["ada"]]
    end(phone, tablet)
    wait_until(lambda: stream.app.users["ada"].get(CUT_OFF), "Stream has the renewal")
    before = len(stream.calls.to("GET", "/users"))

    assert tablet.query_users() == [["ada"]]
    codes = [call.facts.get("code") for call in stream.calls.to("GET", "/users")]
    assert codes[before:] == [40, None]
    assert tablet.mints() == [200, 200]
    assert tablet.query_users() == [["ada"]]
    assert tablet.mints() == [200, 200]
    seen = tablet.driver.call("seen")
    assert (seen["signedOut"], seen["sessionEnds"], seen["providerCalls"]) == ([], [], 2)

    for _ in range(2):
        with pytest.raises(SdkError):
            phone.query_users()
    codes = [call.facts.get("code") for call in stream.calls.to("GET", "/users")]
    assert codes[before + 3] == 40
    assert None not in codes[before + 3 :]
    assert phone.mints() == [200, 401]
    assert phone.driver.call("seen")["signedOut"] == ["sign_in_required"]
