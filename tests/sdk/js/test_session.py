"""The session of `clients/js` with built-in accounts."""

from typing import Any

import pytest

from testing.doubles.http_double import HttpDouble
from testing.response import Response
from testing.sdk_driver import Driver, SdkError
from testing.waiting import wait_until
from tests.sdk.js.endpoint import TOKEN, grant, problem

JOHN = {"userId": "john", "password": "correct horse battery staple"}


def oauth_error(code: str, status: int = 400) -> Response:
    return Response(status, {"error": code, "error_description": f"because {code}"})


def make_session(package: Driver, endpoint: HttpDouble, **options: Any) -> None:
    package.call("makeSession", url=endpoint.url, **options)


def sign_in(package: Driver, endpoint: HttpDouble, expires_in: int = 600) -> None:
    make_session(package, endpoint)
    endpoint.faults.respond(grant(1, expires_in), "POST /v1/sessions")
    package.call("signIn", **JOHN)


def test_sign_up_creates_the_account(package: Driver, endpoint: HttpDouble) -> None:
    created = {"user_id": "john", "created_at": 1_790_000_000}
    endpoint.faults.respond(Response(201, created), "POST /v1/accounts")
    make_session(package, endpoint)
    assert package.call("signUp", **JOHN, user={"id": "john"}, invitation="code") == created
    (call,) = endpoint.calls.all()
    assert call.json == {
        "user_id": "john",
        "password": JOHN["password"],
        "user": {"id": "john"},
        "invitation": "code",
    }


def test_sign_in_keeps_the_session(package: Driver, endpoint: HttpDouble) -> None:
    """Only the refresh token is stored. The access token is used until it expires."""
    sign_in(package, endpoint)
    (call,) = endpoint.calls.all()
    assert call.json == {"user_id": "john", "password": JOHN["password"], "client_id": "app"}
    assert package.call("getCredential", times=2) == ["access-1"] * 2
    assert package.call("seen")["stored"] == ["refresh-1"]
    assert len(endpoint.calls.all()) == 1


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "credentials_invalid", "refused"),
        (409, "user_id_taken", "refused"),
        (429, "rate_limited", "try_later"),
    ],
)
def test_refused_sign_in_is_not_repeated(
    package: Driver, endpoint: HttpDouble, status: int, code: str, kind: str
) -> None:
    """The user decides when to try again."""
    endpoint.faults.respond(problem(status, code, **{"Retry-After": "7"}), "POST /v1/sessions")
    make_session(package, endpoint)
    with pytest.raises(SdkError, match=f"because {code}") as refused:
        package.call("signIn", **JOHN)
    assert (refused.value.kind, refused.value.retry_after) == (kind, 7)
    assert len(endpoint.calls.all()) == 1


def test_stored_session_is_continued(package: Driver, endpoint: HttpDouble) -> None:
    """After a restart of the app. Special characters of a token are encoded."""
    endpoint.faults.respond(grant(2), "POST /oauth/token")
    make_session(package, endpoint, refreshToken="a+b&c", clientId="web")
    assert package.call("getCredential") == ["access-2"]
    (call,) = endpoint.calls.all()
    assert call.body == b"grant_type=refresh_token&refresh_token=a%2Bb%26c&client_id=web"
    assert package.call("seen")["stored"] == ["refresh-2"]


def test_concurrent_callers_share_one_refresh(package: Driver, endpoint: HttpDouble) -> None:
    """A refused access token is renewed before it expires."""
    sign_in(package, endpoint)
    endpoint.faults.respond(grant(2), "POST /oauth/token")
    assert package.call("getCredential", times=5, refresh=True) == ["access-2"] * 5
    assert len(endpoint.calls.to("POST", "/oauth/token")) == 1


def test_busy_service_is_asked_again(package: Driver, endpoint: HttpDouble) -> None:
    """With the same refresh token, as told."""
    sign_in(package, endpoint, expires_in=0)
    endpoint.faults.cut("POST /oauth/token")
    endpoint.faults.respond(oauth_error("temporarily_unavailable", 503), "POST /oauth/token")
    endpoint.faults.respond(grant(2), "POST /oauth/token")
    assert package.call("getCredential") == ["access-2"]
    assert {call.body for call in endpoint.calls.to("POST", "/oauth/token")} == {
        b"grant_type=refresh_token&refresh_token=refresh-1&client_id=app"
    }


def test_success_of_another_server_is_no_session(package: Driver, endpoint: HttpDouble) -> None:
    """The stored token stays."""
    portal = Response(200, {"welcome": "pay"})
    endpoint.faults.respond(portal, "POST /v1/sessions")
    endpoint.faults.respond(portal, "POST /oauth/token")
    endpoint.faults.respond(grant(2), "POST /oauth/token")
    make_session(package, endpoint, refreshToken="refresh-1")
    for command in ("signIn", "getCredential"):
        with pytest.raises(SdkError, match="Another server") as refused:
            package.call(command, **JOHN if command == "signIn" else {})
        assert refused.value.kind == "try_later"
    assert not package.call("seen")["stored"]
    assert package.call("getCredential") == ["access-2"]


def test_ended_session_signs_the_user_out_once(package: Driver, endpoint: HttpDouble) -> None:
    sign_in(package, endpoint, expires_in=0)
    endpoint.faults.respond(oauth_error("invalid_grant"), "POST /oauth/token")
    for _ in range(2):
        with pytest.raises(SdkError, match="because invalid_grant") as ended:
            package.call("getCredential")
        assert (ended.value.code, ended.value.kind) == ("invalid_grant", "sign_in_again")
    seen = package.call("seen")
    assert seen["sessionEnds"] == ["invalid_grant"]
    assert seen["stored"] == ["refresh-1", None]
    assert len(endpoint.calls.to("POST", "/oauth/token")) == 1


@pytest.mark.parametrize(("status", "code"), [(401, "sign_in_required"), (403, "user_suspended")])
def test_refused_mint_ends_the_session(
    package: Driver, endpoint: HttpDouble, status: int, code: str
) -> None:
    """The provider and the session each tell the app once. A new sign-in works."""
    sign_in(package, endpoint)
    package.call("makeProvider", url=f"{endpoint.url}/v1/token", ofSession=True)
    endpoint.faults.respond(problem(status, code), "POST /v1/token")
    with pytest.raises(SdkError, match=f"because {code}"):
        package.call("callProvider")
    with pytest.raises(SdkError, match=f"because {code}"):
        package.call("getCredential")
    seen = package.call("seen")
    assert (seen["signedOut"], seen["sessionEnds"]) == ([code], [code])
    assert seen["stored"] == ["refresh-1", None]
    endpoint.faults.respond(grant(5), "POST /v1/sessions")
    package.call("signIn", **JOHN)
    package.call("makeProvider", url=f"{endpoint.url}/v1/token", ofSession=True)
    assert package.call("callProvider") == [TOKEN]
    assert endpoint.calls.all()[-1].headers["authorization"] == "Bearer access-5"


def test_ended_session_stops_the_provider(package: Driver, endpoint: HttpDouble) -> None:
    sign_in(package, endpoint, expires_in=0)
    package.call("makeProvider", url=f"{endpoint.url}/v1/token", ofSession=True)
    endpoint.faults.respond(oauth_error("invalid_grant"), "POST /oauth/token")
    for _ in range(2):
        with pytest.raises(SdkError, match="because invalid_grant"):
            package.call("callProvider")
    seen = package.call("seen")
    assert (seen["signedOut"], seen["sessionEnds"]) == (["invalid_grant"], ["invalid_grant"])


def test_session_and_provider_outlast_an_outage_of_three_minutes(
    package: Driver, endpoint: HttpDouble
) -> None:
    """The access token had expired, too."""
    sign_in(package, endpoint, expires_in=0)
    package.call("makeProvider", url=f"{endpoint.url}/v1/token", ofSession=True)
    endpoint.faults.respond(grant(2, expires_in=0), "POST /oauth/token")
    assert package.call("callProvider") == [TOKEN]
    endpoint.faults.refuse(times=None)
    package.call("stopClock")
    waiting = package.begin("callProvider")
    assert max(package.call("passTime", time=180_000)) <= 30_000
    endpoint.faults.clear()
    endpoint.faults.respond(grant(3), "POST /oauth/token")
    package.begin("passTime", time=60_000)
    assert waiting.result(timeout=60) == [TOKEN]
    assert endpoint.calls.all()[-1].headers["authorization"] == "Bearer access-3"


def test_sign_out_ends_the_session_at_the_service(package: Driver, endpoint: HttpDouble) -> None:
    """The response of RFC 7009 may be empty."""
    sign_in(package, endpoint)
    endpoint.faults.respond(Response(200, b""), "POST /oauth/revoke")
    package.call("signOut")
    (call,) = endpoint.calls.to("POST", "/oauth/revoke")
    assert call.body == b"token=refresh-1&client_id=app"
    assert package.call("seen")["stored"] == ["refresh-1", None]
    with pytest.raises(SdkError, match="No user is signed in") as ended:
        package.call("getCredential")
    assert ended.value.kind == "sign_in_again"
    assert not package.call("seen")["sessionEnds"]


def test_sign_out_without_a_network_ends_the_session_at_the_next_start(
    package: Driver, endpoint: HttpDouble
) -> None:
    make_session(package, endpoint, giveUpAfter=100)
    endpoint.faults.respond(grant(1), "POST /v1/sessions")
    package.call("signIn", **JOHN)
    endpoint.faults.cut("POST /oauth/revoke", times=None)
    with pytest.raises(SdkError, match="cannot be reached"):
        package.call("signOut")
    assert package.call("seen")["stored"] == ["refresh-1", None]
    endpoint.faults.clear()
    make_session(package, endpoint)
    endpoint.faults.respond(Response(200, b""), "POST /oauth/revoke")
    package.call("finishSignOut")
    package.call("finishSignOut")
    call = endpoint.calls.to("POST", "/oauth/revoke")[-1]
    assert call.body == b"token=refresh-1&client_id=app"
    assert package.call("seen")["ending"] is None


def test_next_start_ends_the_last_ten_sessions(package: Driver, endpoint: HttpDouble) -> None:
    """If each sign-out was without a network. The oldest comes first. A failure keeps the rest."""
    make_session(package, endpoint, giveUpAfter=0)
    endpoint.faults.refuse("POST /oauth/revoke", times=None)
    for number in range(11):
        endpoint.faults.respond(grant(number), "POST /v1/sessions")
        package.call("signIn", **JOHN)
        with pytest.raises(SdkError, match="cannot be reached"):
            package.call("signOut")
    endpoint.faults.clear()
    endpoint.calls.clear()
    endpoint.faults.respond(Response(200, b""), "POST /oauth/revoke")
    endpoint.faults.refuse("POST /oauth/revoke")
    endpoint.faults.respond(Response(200, b""), "POST /oauth/revoke", times=9)
    make_session(package, endpoint, giveUpAfter=0)
    with pytest.raises(SdkError, match="cannot be reached"):
        package.call("finishSignOut")
    package.call("finishSignOut")
    assert [call.body for call in endpoint.calls.all()] == [
        b"token=refresh-%d&client_id=app" % number for number in [1, 2, *range(2, 11)]
    ]
    assert package.call("seen")["ending"] is None


def test_sign_out_while_an_earlier_one_is_finished_is_kept(
    package: Driver, endpoint: HttpDouble
) -> None:
    """The store of the tokens may be slow."""
    make_session(package, endpoint, giveUpAfter=0, signsOutAtRead=4)
    endpoint.faults.refuse("POST /oauth/revoke")
    for number in (1, 2):
        endpoint.faults.respond(grant(number), "POST /v1/sessions")
        package.call("signIn", **JOHN)
        if number == 1:
            with pytest.raises(SdkError, match="cannot be reached"):
                package.call("signOut")
    endpoint.faults.respond(Response(200, b""), "POST /oauth/revoke")
    endpoint.faults.refuse("POST /oauth/revoke", times=None)
    package.call("finishSignOut")
    wait_until(lambda: package.call("seen")["ending"] == "refresh-2", "the sign-out is kept")


def test_without_a_stored_token_no_request_is_sent(package: Driver, endpoint: HttpDouble) -> None:
    make_session(package, endpoint)
    with pytest.raises(SdkError, match="No user is signed in"):
        package.call("getCredential")
    assert not endpoint.calls.all()


def test_refresh_of_the_previous_user_is_dropped(package: Driver, endpoint: HttpDouble) -> None:
    """It ends after another user has signed in."""
    sign_in(package, endpoint, expires_in=0)
    hanging = endpoint.faults.hang("POST /oauth/token")
    asking = package.begin("getCredential")
    endpoint.calls.wait_for("POST", "/oauth/token")
    endpoint.faults.respond(grant(7), "POST /v1/sessions")
    package.call("signIn", userId="jane", password=JOHN["password"])
    hanging.release()
    assert asking.result(timeout=60) == ["access-7"]
    assert package.call("seen")["stored"] == ["refresh-1", "refresh-7"]


def test_new_session_is_used_while_it_is_stored(package: Driver, endpoint: HttpDouble) -> None:
    """No call refreshes the session of the previous user in between."""
    make_session(package, endpoint, refreshToken="refresh-of-bob", asksWhileStoring=True)
    endpoint.faults.respond(grant(1), "POST /v1/sessions")
    package.call("signIn", **JOHN)
    assert package.call("seen")["credentials"] == ["access-1"]
    assert package.call("seen")["stored"] == ["refresh-1"]


def test_end_of_a_session_keeps_that_of_another_tab(package: Driver, endpoint: HttpDouble) -> None:
    sign_in(package, endpoint)
    package.call("storeInOtherTab", token="refresh-9")
    package.call("forget")
    assert package.call("seen")["stored"] == ["refresh-1"]
