"""User IDs that no user can choose at a sign-up."""

import pytest

from testing.accounts import PASSWORD


def sign_up(world, user_id, **more):
    body = {"user_id": user_id, "password": PASSWORD, **more}
    return world.anonymous.post("/v1/accounts", json=body)


@pytest.mark.parametrize("user_id", ["chat-admin", "chat-support", "chat-_ad-min_", "chat-@admin"])
def test_reserved_user_id_is_not_a_users_choice(open_world, user_id):
    """An invitation for it, or the operator, can give it."""
    refused = sign_up(open_world, user_id)
    assert (refused.status, refused.code) == (422, "user_id_invalid")
    assert "reserved" in refused.json["detail"]
    invited = open_world.command("accounts", "invite", user_id, "--json").json["invitation"]
    assert sign_up(open_world, user_id, invitation=invited).status == 201


def test_list_of_reserved_user_ids_is_a_setting(application):
    client = application(
        TOKENSVC_ACCOUNTS__SIGN_UP="open", TOKENSVC_ACCOUNTS__RESERVED_IDS='["Brand"]'
    )
    for user_id, status in (("brand", 422), ("admin", 201)):
        body = {"user_id": user_id, "password": PASSWORD}
        assert client.post("/v1/accounts", json=body).status == status
