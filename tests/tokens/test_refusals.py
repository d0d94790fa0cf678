"""Each refusal of `/v1/token` as a client meets it."""

import base64
import time
from collections.abc import Callable
from typing import Any

import pytest

from testing.response import Response
from testing.service_clients import basic
from tests.tokens.conftest import TokenWorld
from tokensvc.clients.state import NewServiceClient

NOW = int(time.time())


@pytest.fixture(autouse=True)
def clean_standings(world: TokenWorld) -> None:
    """Start each test without suspension and cut-off."""
    world.set_app_standing(tokens_valid_after=None, floor=0)
    world.set_standing("john")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"ttl": 59}, 400, "malformed_request"),
        ({"ttl": -1}, 400, "malformed_request"),
        ({"ttl": "60"}, 400, "malformed_request"),
        ({"ttl": True}, 400, "malformed_request"),
        ({"ttl": 60.5}, 400, "malformed_request"),
        ({"userId": "john"}, 400, "malformed_request"),
        ({"user": []}, 400, "malformed_request"),
        ([], 400, "malformed_request"),
        ({"auth_time": NOW}, 400, "malformed_request"),
        ({"auth_time": NOW + 3600}, 400, "malformed_request"),
        ({"api_key": "another"}, 400, "api_key_unknown"),
        ({"user_id": "jane"}, 403, "user_id_mismatch"),
        ({"user_id": ""}, 403, "user_id_mismatch"),
        ({"user_id": "john\n"}, 403, "user_id_mismatch"),
        ({"user_id": "john\0"}, 403, "user_id_mismatch"),
        ({"user_id": "jоhn"}, 403, "user_id_mismatch"),  # noqa: RUF001 - a Cyrillic o
        ({"user": {"id": "jane"}}, 403, "user_id_mismatch"),
        ({"user": {"name": "John"}}, 422, "user_invalid"),
        ({"user": {"id": "john", "role": "admin"}}, 422, "user_invalid"),
        ({"user": {"id": "john", "teams": ["red"]}}, 422, "user_invalid"),
        ({"user": {"id": "john", "ID": "jane"}}, 422, "user_invalid"),
        ({"user": {"id": "john", "bio": "x" * 5120}}, 422, "user_invalid"),
        ({"user": {"id": "john", "privacy_settings": {"typing": {}}}}, 422, "user_invalid"),
    ],
)
@pytest.mark.sec(23)
def test_invalid_request_of_a_user_is_refused(
    world: TokenWorld, body: Any, status: int, code: str
) -> None:
    response = world.mint(json=body, valid=False)
    assert (response.status, response.code) == (status, code)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "malformed_request"),
        ({"user_id": ""}, 422, "user_id_invalid"),
        ({"user_id": "John"}, 422, "user_id_invalid"),
        ({"user_id": "a" * 256}, 422, "user_id_invalid"),
        ({"user_id": "john\n"}, 422, "user_id_invalid"),
        ({"user_id": "john\0"}, 422, "user_id_invalid"),
        ({"user_id": "jоhn"}, 422, "user_id_invalid"),  # noqa: RUF001 - a Cyrillic o
        ({"user_id": "john", "auth_time": NOW + 3600}, 400, "malformed_request"),
        ({"user_id": "john", "user": {"id": "jane"}}, 403, "user_id_mismatch"),
    ],
)
@pytest.mark.sec(23)
def test_invalid_request_of_a_service_is_refused(
    world: TokenWorld, service_client: NewServiceClient, body: Any, status: int, code: str
) -> None:
    response = world.anonymous.post(
        "/v1/token", headers=basic(service_client), json=body, valid=False
    )
    assert (response.status, response.code) == (status, code)


@pytest.mark.sec(23)
def test_service_without_the_scope_learns_nothing(
    world: TokenWorld, powerless_client: NewServiceClient
) -> None:
    """The refusal does not reveal that the user is suspended."""
    world.set_standing("john", suspended_at=NOW)
    response = world.mint_as_service(powerless_client, user_id="john")
    assert (response.status, response.code) == (403, "insufficient_scope")


def test_me_refuses_services(world: TokenWorld, service_client: NewServiceClient) -> None:
    """A service has no user ID."""
    response = world.anonymous.get("/v1/me", headers=basic(service_client))
    assert (response.status, response.code) == (403, "insufficient_scope")


def _no_credential(world: TokenWorld) -> Response:
    return world.anonymous.post("/v1/token")


def _garbage(world: TokenWorld) -> Response:
    return world.mint(bearer="garbage")


def _expired(world: TokenWorld) -> Response:
    return world.mint(bearer=world.issuer.token(iat=NOW - 7200, exp=NOW - 3600))


def _no_sign_in_time(world: TokenWorld) -> Response:
    return world.mint(bearer=world.issuer.token(auth_time=None))


def _wrong_secret(world: TokenWorld) -> Response:
    credentials = base64.b64encode(b"svc.backend:wrong").decode()
    return world.anonymous.post("/v1/token", headers={"Authorization": f"Basic {credentials}"})


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        (_no_credential, "credentials_missing"),
        (_garbage, "credentials_invalid"),
        (_wrong_secret, "credentials_invalid"),
        (_no_sign_in_time, "credentials_invalid"),
        (_expired, "credentials_expired"),
    ],
)
def test_invalid_credential_gets_a_challenge(
    world: TokenWorld, ask: Callable[[TokenWorld], Response], code: str
) -> None:
    """A 401 names the accepted authentication schemes."""
    response = ask(world)
    assert (response.status, response.code) == (401, code)
    assert response.headers["WWW-Authenticate"].startswith(("Bearer", "Basic"))


def test_suspended_user_is_refused(world: TokenWorld) -> None:
    world.set_standing("john", suspended_at=NOW)
    response = world.mint()
    assert (response.status, response.code) == (403, "user_suspended")


@pytest.mark.parametrize("whose", ["user", "app"])
def test_sign_in_before_the_cut_off_is_refused(world: TokenWorld, whose: str) -> None:
    """A sign-in is late enough from `clock_ahead` after the cut-off; the challenge says so."""
    cut_off = int(time.time()) - 100
    if whose == "user":
        world.set_standing("john", tokens_valid_after=cut_off, floor=cut_off)
    else:
        world.set_app_standing(tokens_valid_after=cut_off, floor=cut_off)

    for auth_time, status in [(cut_off - 1, 401), (cut_off + 1, 401), (cut_off + 2, 200)]:
        before = int(time.time())
        response = world.mint(bearer=world.issuer.token(auth_time=auth_time))
        after = int(time.time())
        assert response.status == status, auth_time
        if status == 401:
            assert response.code == "sign_in_required"
            assert response.json["sign_in_after"] == cut_off + 2
            challenge = response.headers["WWW-Authenticate"]
            assert 'error="insufficient_user_authentication"' in challenge
            ages = [now - response.json["sign_in_after"] for now in range(before, after + 1)]
            assert any(f'max_age="{age}"' in challenge for age in ages)
        else:
            assert response.json["issued_at"] >= cut_off


def test_service_needs_a_sign_in_time_after_the_cut_off(
    world: TokenWorld, service_client: NewServiceClient, vouching_client: NewServiceClient
) -> None:
    """Its `auth_time` is compared; without one, only a vouching client can mint."""
    cut_off = int(time.time()) - 100
    world.set_standing("john", tokens_valid_after=cut_off, floor=cut_off)
    without = world.mint_as_service(service_client, user_id="john")
    assert without.code == "sign_in_required"
    assert "auth_time" in without.json["detail"]
    before, after = cut_off + 1, cut_off + 2
    assert world.mint_as_service(service_client, user_id="john", auth_time=before).status == 401
    assert world.mint_as_service(service_client, user_id="john", auth_time=after).status == 200
    assert world.mint_as_service(vouching_client, user_id="john").status == 200
    world.set_standing("john", suspended_at=NOW)
    assert world.mint_as_service(vouching_client, user_id="john").code == "user_suspended"


def test_future_cut_off_gets_503_with_retry_after(world: TokenWorld) -> None:
    ahead = int(time.time()) + 60
    world.set_standing("john", floor=ahead)
    response = world.mint()
    assert (response.status, response.code) == (503, "temporarily_unavailable")
    assert response.headers["Retry-After"] == "1"


def test_me_refuses_by_the_standing(world: TokenWorld) -> None:
    """In the order of `/v1/token`, but not for a floor in the future."""
    headers = {"Authorization": f"Bearer {world.issuer.token()}"}
    world.set_standing("john", floor=int(time.time()) + 60)
    assert world.anonymous.get("/v1/me", headers=headers).status == 200
    ahead = int(time.time()) + 60
    world.set_standing("john", tokens_valid_after=ahead, floor=ahead)
    assert world.anonymous.get("/v1/me", headers=headers).code == "sign_in_required"
    world.set_standing("john", suspended_at=NOW)
    assert world.anonymous.get("/v1/me", headers=headers).code == "user_suspended"


def test_other_accepted_types_get_406(world: TokenWorld) -> None:
    response = world.mint(headers={"Accept": "text/html"}, valid=False)
    assert (response.status, response.code) == (406, "not_acceptable")


def test_form_gets_415(world: TokenWorld) -> None:
    response = world.mint(
        headers={"Content-Type": "application/x-www-form-urlencoded"}, body=b"ttl=60", valid=False
    )
    assert (response.status, response.code) == (415, "unsupported_media_type")


def test_body_over_16_kib_gets_413(world: TokenWorld) -> None:
    response = world.mint(
        headers={"Content-Type": "application/json"},
        body=b'{"user":{"x":"' + b"x" * 16384 + b'"}}',
        valid=False,
    )
    assert (response.status, response.code) == (413, "payload_too_large")


def test_refusal_is_logged_once_without_the_credential(world: TokenWorld) -> None:
    token = world.issuer.token(sub="John")
    before = len(world.service.log_lines())
    response = world.mint(bearer=token)
    assert response.code == "user_id_invalid"
    assert "_4aohn" in response.json["detail"]
    lines = [line for line in world.service.log_lines()[before:] if "route" in line]
    assert [line["code"] for line in lines] == ["user_id_invalid"]
    assert token not in world.service.log_path.read_text()
