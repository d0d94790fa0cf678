"""`PATCH` and `DELETE /v1/me`: the own account of a signed-in user, at a running service."""

import pytest

from testing.accounts import NEW_PASSWORD, PASSWORD
from testing.waiting import wait_until
from tokensvc.sessions.tables import sessions


def sign_in(world, user_id):
    return world.anonymous.post("/v1/sessions", json={"user_id": user_id, "password": PASSWORD})


@pytest.fixture
def signed_up(open_world):
    """Return a function that signs a user up and in."""

    def signed_up(user_id):
        body = {"user_id": user_id, "password": PASSWORD}
        assert open_world.anonymous.post("/v1/accounts", json=body).status == 201
        return open_world.with_token(sign_in(open_world, user_id).json["access_token"])

    return signed_up


def test_user_changes_the_own_profile_at_stream(open_world, signed_up):
    user = signed_up("chat-iris")
    changed = user.request("PATCH", "/v1/me", json={"user": {"id": "chat-iris", "name": "Iris"}})
    assert changed.status == 200
    assert changed.json["profile"] == {"id": "chat-iris", "name": "Iris"}
    users = open_world.stream.app.users
    wait_until(lambda: users.get("chat-iris", {}).get("name") == "Iris", "Stream has the name")


@pytest.mark.sec(23)
def test_user_changes_neither_own_rights_nor_other_users(signed_up):
    """The service sends the object to Stream as a server."""
    user = signed_up("chat-jack")
    for member in ("role", "Role", "teams.red"):
        body = {"user": {"id": "chat-jack", member: "admin"}}
        assert user.request("PATCH", "/v1/me", json=body).code == "user_invalid"
    other = {"user": {"id": "chat-iris", "name": "Jack"}}
    assert user.request("PATCH", "/v1/me", json=other).code == "user_id_mismatch"


def test_profile_does_not_grow_with_the_members_that_its_user_removes(signed_up):
    """The names of removed members are stored, because Stream may still have them."""
    user = signed_up("chat-lara")

    def remove(number):
        names = [f"{number}-{member}" for member in range(90)]
        body = {"user": {"id": "chat-lara", **dict.fromkeys(names)}}
        return user.request("PATCH", "/v1/me", json=body)

    assert [remove(number).status for number in range(2)] == [200, 200]
    assert remove(2).code == "user_invalid"
    kept = user.request("PATCH", "/v1/me", json={"user": {"id": "chat-lara", "name": "Lara"}})
    assert kept.status == 200


@pytest.mark.sec(33)
def test_user_deletes_the_own_account(open_world, signed_up):
    """Every token ends with the response, and the ID can neither sign in nor sign up again."""
    user = signed_up("chat-kate")
    refresh_token = sign_in(open_world, "chat-kate").json["refresh_token"]
    assert user.get("/v1/token").status == 200
    assert user.request("DELETE", "/v1/me").status == 204
    assert user.get("/v1/token").code == "sign_in_required"
    assert open_world.refresh(refresh_token).json["error"] == "invalid_grant"
    assert sign_in(open_world, "chat-kate").code == "credentials_invalid"


@pytest.mark.sec(45)
def test_change_of_the_password_ends_reset_codes(open_world, signed_up):
    """Whoever has one could otherwise change the password again."""
    user = signed_up("chat-mike")
    support = open_world.client_with("support", "accounts:write", "tokens:mint")
    code = support.post("/v1/accounts/chat-mike/reset-codes").json["code"]
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    assert user.post("/v1/me/password", json=body).status == 200
    body = {"code": code, "new_password": PASSWORD}
    reset = open_world.anonymous.post("/v1/accounts/chat-mike/password", json=body)
    assert reset.code == "code_invalid"


def test_user_signs_in_again_to_delete_the_account(open_world, signed_up):
    """A refresh, which a thief of the tokens can do too, is not a sign-in."""
    signed_up("chat-liam")
    tokens = sign_in(open_world, "chat-liam").json
    with open_world.database.write() as tx:
        of_user = sessions.update().where(sessions.c.user_id == "chat-liam")
        tx.execute(of_user.values(created_at=sessions.c.created_at - 301))
    refreshed = open_world.refresh(tokens["refresh_token"])
    old = open_world.with_token(refreshed.json["access_token"])
    refused = old.request("DELETE", "/v1/me")
    assert (refused.status, refused.code) == (401, "sign_in_required")
    assert 'max_age="300"' in refused.headers["WWW-Authenticate"]
    assert old.get("/v1/token").status == 200
    again = open_world.with_token(sign_in(open_world, "chat-liam").json["access_token"])
    assert again.request("DELETE", "/v1/me").status == 204


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_route_of_the_own_account_refuses_services_and_users_of_providers(shared_world, method):
    body = {"user": {"id": "ada", "name": "Ada"}} if method == "PATCH" else None
    user = shared_world.signed_in("ada")
    refused = user.request(method, "/v1/me", json=body)
    assert (refused.status, refused.code) == (403, "insufficient_scope")
    assert "identity provider" in refused.json["detail"]
    service = shared_world.client_with(f"no user {method}", "accounts:write")
    assert service.request(method, "/v1/me", json=body).code == "insufficient_scope"
