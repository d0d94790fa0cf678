"""`POST /oauth/revoke`: any token of a session ends it, and no other token reveals anything."""

import jwt
import pytest

from testing.account_world import running_account_world
from testing.service import STREAM_API_SECRET
from testing.service_clients import basic, make_client

pytestmark = pytest.mark.sec(34)

KINDS = ["refresh", "previous refresh", "access", "expired access"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with running_account_world(tmp_path_factory.mktemp("oauth")) as running:
        yield running


@pytest.fixture(scope="module")
def shop(world):
    return make_client(world.database, "revoking-shop", "users:read")


def token_of(world, grant, kind):
    if kind == "refresh":
        return grant.refresh_token
    if kind == "previous refresh":
        client_id = grant.family.client_id
        assert world.refresh(grant.refresh_token, client_id=client_id).status == 200
        return grant.refresh_token
    return world.access_token(grant, age=3600 if kind.startswith("expired") else 0)


def is_live(world, grant):
    """Return whether the session of a grant gives access."""
    return world.with_token(world.access_token(grant)).get("/v1/me").status == 200


@pytest.mark.sec(33)
@pytest.mark.parametrize(
    ("kind", "hint"),
    [*((kind, "") for kind in KINDS), ("refresh", "access_token"), ("refresh", "unknown")],
)
def test_token_of_a_session_ends_it(world, kind, hint):
    """Whatever the hint says."""
    grant, other = world.open_session("leaving"), world.open_session("leaving")
    access_token = world.access_token(grant)
    token = token_of(world, grant, kind)
    response = world.revoke_token(token, token_type_hint=hint, client_id="app")
    assert (response.status, response.body) == (200, b"")
    assert world.refresh(grant.refresh_token).json["error"] == "invalid_grant"
    refused = world.with_token(access_token).get("/v1/me")
    assert refused.code == "sign_in_required"
    assert refused.json["sign_in_after"] is None
    assert 'max_age="0"' in refused.headers["WWW-Authenticate"]
    assert is_live(world, other)
    assert world.revoke_token(token).status == 200


def test_end_of_a_session_is_audited(world):
    grant = world.open_session("audited")
    for _ in range(2):
        world.revoke_token(grant.refresh_token)
    (event,) = world.operator.get("/v1/audit", query={"subject": "audited"}).json["items"]
    assert (event["action"], event["actor"]) == ("session:ended", "audited")
    assert grant.refresh_token not in str(event)


@pytest.mark.sec(36)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("other", [{}, {"client_id": "tablet"}])
def test_token_of_another_client_changes_nothing(world, kind, other):
    grant = world.open_session("loyal", "desktop")
    token = token_of(world, grant, kind)
    assert world.revoke_token(token, **other).status == 200
    assert is_live(world, grant)
    assert world.revoke_token(token, client_id="desktop").status == 200
    assert not is_live(world, grant)


def test_unknown_token_gets_the_response_of_a_known_one(world, shop):
    known = world.revoke_token(world.open_session("known").refresh_token)
    fields = known.headers.keys()
    service_token = world.oauth({"grant_type": "client_credentials"}, headers=basic(shop))
    forged = world.open_session("forged").refresh_token
    for token in (
        "junk",
        "tsr_" + "A" * 56,
        forged[:-1] + ("A" if forged[-1] != "A" else "B"),
        "a.b.c",
        "x" * 9000,
        world.issuer.token(),
        jwt.encode({"user_id": "ada", "exp": 2**40, "iat": 1}, STREAM_API_SECRET, "HS256"),
        service_token.json["access_token"],
    ):
        response = world.revoke_token(token)
        assert (response.status, response.body) == (200, b""), token
        assert response.headers.keys() == fields


def test_service_revokes_no_session_and_learns_that_its_token_stays(world, shop):
    grant = world.open_session("kept")
    form = {"token": grant.refresh_token}
    assert world.anonymous.post("/oauth/revoke", form=form, headers=basic(shop)).status == 200
    assert is_live(world, grant)
    token = world.oauth({"grant_type": "client_credentials"}, headers=basic(shop))
    form = {"token": token.json["access_token"]}
    response = world.anonymous.post("/oauth/revoke", form=form, headers=basic(shop))
    assert (response.status, response.json["error"]) == (400, "unsupported_token_type")


def test_wrong_secret_of_a_service_is_refused(world, shop):
    form = {"token": world.open_session("kept-too").refresh_token}
    wrong = basic(shop, "wrong")
    response = world.anonymous.post("/oauth/revoke", form=form, headers=wrong)
    assert (response.status, response.json["error"]) == (401, "invalid_client")
    form |= {"client_id": shop.id}
    response = world.anonymous.post("/oauth/revoke", form=form)
    assert (response.status, response.json["error"]) == (400, "invalid_client")


def test_missing_token_is_refused(world):
    response = world.anonymous.post("/oauth/revoke", form={"client_id": "app"})
    assert (response.status, response.json["error"]) == (400, "invalid_request")
