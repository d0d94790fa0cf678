"""The routes with which users of built-in accounts manage their sessions and their password."""

import pytest

from testing.account_world import running_account_world
from testing.accounts import NEW_PASSWORD, PASSWORD
from testing.sessions import make_older
from testing.world import minted
from tests.sign_in.passwords_over_http import PasswordServiceWorld

CHANGE = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
ROUTES = [
    ("DELETE", "/v1/sessions/current", {}),
    ("GET", "/v1/me/sessions", {}),
    ("DELETE", "/v1/me/sessions/0123", {}),
    ("POST", "/v1/me/password", {"json": CHANGE}),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Yield one service. Each test uses its own users."""
    with running_account_world(tmp_path_factory.mktemp("service"), PasswordServiceWorld) as world:
        yield world


@pytest.mark.parametrize(("method", "path", "options"), ROUTES)
def test_other_callers_are_refused(world, method, path, options):
    """Users of identity providers have neither sessions nor a password here."""
    for caller in (world.signed_in("paul"), world.operator):
        assert caller.request(method, path, **options).code == "insufficient_scope"
    assert world.anonymous.request(method, path, **options).code == "credentials_missing"


def listed(user):
    return user.get("/v1/me/sessions").json["items"]


def test_sessions_are_listed_newest_first_with_the_current_one(world):
    world.create("ada")
    first = world.user("ada")
    body = {"user_id": "ada", "password": PASSWORD, "client_id": "web"}
    assert world.anonymous.post("/v1/sessions", json=body).status == 200
    newest, oldest = listed(first)
    assert (newest["client_id"], newest["current"]) == ("web", False)
    assert (oldest["client_id"], oldest["current"]) == ("app", True)
    assert newest["created_at"] == newest["last_used_at"] >= oldest["created_at"]
    pages = first.pages("/v1/me/sessions", limit=1)
    assert [item for page in pages for item in page] == [newest, oldest]


@pytest.mark.sec(27)
def test_current_session_does_not_show_when_it_is_refreshed(world):
    """A thief of its access token would learn when the previous refresh token is accepted."""
    world.create("amy")
    grant = world.sign_in("amy").json
    make_older(world.database, 7 * 86400)
    user = world.with_token(grant["access_token"])

    def last_used_at():
        return {item["current"]: item["last_used_at"] for item in listed(user)}[True]

    before = last_used_at()
    assert world.refresh(grant["refresh_token"]).status == 200
    assert last_used_at() - before in {0, 60}  # the minute of each request
    assert before % 60 == 0


@pytest.mark.sec(33)
def test_sign_out_ends_the_session_of_the_token_only(world):
    world.create("ben")
    grant = world.sign_in("ben").json
    user, other = world.with_token(grant["access_token"]), world.user("ben")
    assert user.request("DELETE", "/v1/sessions/current").status == 204
    assert user.get("/v1/me").code == "sign_in_required"
    assert world.refresh(grant["refresh_token"]).json["error"] == "invalid_grant"
    assert other.get("/v1/me").status == 200
    (event,) = world.events("ben", "session:ended")
    assert event["actor"] == "ben"


def renewals(world, user_id):
    """Return the sessions whose ends renewed the tokens of a user, newest first."""
    return [event["details"]["session"] for event in world.events(user_id, "user:renewed")]


def test_sign_out_renews_on_request_only(world):
    """The user's other session goes on."""
    world.create("ron")
    signing_out, plainly, other = world.user("ron"), world.user("ron"), world.user("ron")
    assert plainly.request("DELETE", "/v1/sessions/current").status == 204
    assert renewals(world, "ron") == []
    refused = other.request(
        "DELETE", "/v1/sessions/current", query={"renew": "perhaps"}, valid=False
    )
    assert (refused.status, refused.code) == (400, "malformed_request")
    query = {"renew": True}
    assert signing_out.request("DELETE", "/v1/sessions/current", query=query).status == 204
    assert len(renewals(world, "ron")) == 1
    assert minted(other).status == 200


def test_setting_makes_each_sign_out_a_renewal(tmp_path):
    """Also that of an OAuth client, but not one that asks for none."""
    settings = {"TOKENSVC_SESSIONS__END_RENEWS": "true"}
    with running_account_world(tmp_path, PasswordServiceWorld, **settings) as world:
        world.create("liz")
        grant = world.sign_in("liz").json
        for query, number in (({}, 1), ({"renew": False}, 1)):
            user = world.user("liz")
            assert user.request("DELETE", "/v1/sessions/current", query=query).status == 204
            assert len(renewals(world, "liz")) == number
        assert world.revoke_token(grant["refresh_token"]).status == 200
        assert len(renewals(world, "liz")) == 2


@pytest.mark.sec(33)
def test_user_ends_another_session_of_their_own_but_of_no_other_user(world):
    world.create("kim")
    world.create("eve")
    lost, user, eve = world.user("kim"), world.user("kim"), world.user("eve")
    (session_id,) = [item["id"] for item in listed(user) if not item["current"]]
    path = f"/v1/me/sessions/{session_id}"
    assert eve.request("DELETE", path).code == "not_found"
    assert lost.get("/v1/me").status == 200
    assert user.request("DELETE", path).status == 204
    assert lost.get("/v1/me").code == "sign_in_required"
    assert user.request("DELETE", path).code == "not_found"
    assert [item["current"] for item in listed(user)] == [True]
    assert renewals(world, "kim") == [session_id]
    assert world.state("kim")["tokens_valid_after"] is None
    assert minted(user).status == 200


def test_text_that_is_no_session_id_is_not_found(migrated_postgres_url, tmp_path):
    """PostgreSQL refuses a NUL."""
    settings = {"TOKENSVC_DATABASE_URL": migrated_postgres_url}
    with running_account_world(tmp_path, **settings) as world:
        user = world.signed_in_here("ann")
        for text in ("%00", "0" * 31 + "%00", "A" * 32, "%F0%9F%98%80"):
            assert user.request("DELETE", f"/v1/me/sessions/{text}").code == "not_found"


@pytest.mark.sec(33, 44, 59)
def test_password_change_ends_all_sessions_and_returns_one_that_mints(world):
    world.create("joe")
    user, other = world.user("joe"), world.user("joe")
    response = user.post("/v1/me/password", json=CHANGE)
    assert response.status == 200
    assert response.json.keys() == world.sign_in("joe", NEW_PASSWORD).json.keys()
    for earlier in (user, other):
        assert earlier.post("/v1/token").code == "sign_in_required"
    assert minted(world.with_token(response.json["access_token"])).json["user_id"] == "joe"
    assert world.state("joe")["revocation"]["kind"] == "password"
    assert [event["actor"] for event in world.events("joe", "password:changed")] == ["joe"]
    assert world.sign_in("joe").status == 401


@pytest.mark.sec(44)
def test_wrong_current_password_leaves_the_session(world):
    world.create("max")
    user = world.user("max")
    response = user.post("/v1/me/password", json={**CHANGE, "current_password": "wrong"})
    assert response.code == "credentials_invalid"
    assert user.get("/v1/me").status == 200
    assert [event["outcome"] for event in world.events("max")] == ["refused", "ok"]


@pytest.mark.sec(40)
def test_new_password_that_is_easy_to_guess_is_rejected_with_reasons(world):
    world.create("roy")
    user = world.user("roy")
    response = user.post("/v1/me/password", json={**CHANGE, "new_password": "1QAZ2wsx3edc4rfv"})
    assert response.status == 422
    assert (response.code, response.json["reasons"]) == ("password_rejected", ["too_common"])
    assert user.get("/v1/me").status == 200
