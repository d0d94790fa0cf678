"""The user object for `connectUser`, as Stream's page on users documents it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokensvc.core import stream_user
from tokensvc.core.errors import Code, Refusal

BENDER = {
    "id": "bender",
    "name": "Bender",
    "image": "https://bit.ly/321RmWb",
    "language": "en",
    "invisible": False,
    "favourite": {"drink": "oil", "numbers": [1, 0]},
}


def refusal_of(user, user_id="bender"):
    with pytest.raises(Refusal) as refused:
        stream_user.check(user, user_id)
    return refused.value


@pytest.mark.parametrize(
    "user",
    [
        pytest.param({"id": "bender"}, id="only the ID"),
        pytest.param(BENDER, id="custom data"),
        pytest.param({"id": "bender", "privacy_settings": {}}, id="no privacy setting"),
        pytest.param(
            {
                "id": "bender",
                "privacy_settings": {
                    "typing_indicators": {"enabled": False},
                    "read_receipts": {"enabled": False},
                    "delivery_receipts": {"enabled": True},
                },
            },
            id="every privacy setting",
        ),
    ],
)
def test_documented_object_is_accepted(user):
    stream_user.check(user, "bender")


@pytest.mark.sec(23)
@pytest.mark.parametrize("user_id", ["fry", "Bender", "bender ", ""])
def test_object_of_another_user_is_refused(user_id):
    assert refusal_of({"id": user_id}).code is Code.USER_ID_MISMATCH


@pytest.mark.parametrize(
    "user", [{}, {"id": None}, {"id": 7}, {"id": ["bender"]}, {"ID": "bender"}]
)
def test_object_without_a_string_as_id_is_refused(user):
    refusal = refusal_of(user)
    assert refusal.code is Code.USER_INVALID
    assert "user.id" in refusal.detail


@pytest.mark.parametrize("member", sorted(stream_user.SERVER_ONLY))
def test_server_only_member_is_refused_by_name(member):
    refusal = refusal_of({**BENDER, member: None})
    assert refusal.code is Code.USER_INVALID
    assert member in refusal.detail


@pytest.mark.sec(70)
@pytest.mark.parametrize("by_server", [False, True])
@pytest.mark.parametrize(
    "member",
    [
        *("ID", "Id", "i_d", "-id", "\u0131d", "i\u200bd", "id\0", "\uff49\uff44", " id", "id.x"),
        *("Role", "TEAMS", "team\u017f", "role.x", "teamsrole", "channel-roles", "banned_"),
        *("Privacy_Settings", "privacySettings", "revokeTokensIssuedBefore", "created_At"),
        *("", "x" * 65, "favourite drink", "a.b", "$set", "prénom"),
    ],
)
def test_member_that_stream_could_read_as_another_is_refused(member, by_server):
    """Case, separators, invisible characters, paths; a name of custom data has none of them."""
    with pytest.raises(Refusal) as refused:
        stream_user.check({**BENDER, member: "fry"}, "bender", by_server=by_server)
    assert refused.value.code is Code.USER_INVALID
    assert "`user`" in refused.value.detail
    assert refused.value.detail.isascii()


@pytest.mark.parametrize("member", ["a", "x" * 64, "favouriteDrink", "is_robot-2", "identity"])
def test_other_names_are_custom_data(member):
    stream_user.check({**BENDER, member: "oil"}, "bender")


def test_all_server_only_members_are_named_together():
    refusal = refusal_of({**BENDER, "teams": ["red"], "role": "admin"})
    assert "role, teams" in refusal.detail


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(None, id="null"),
        pytest.param([], id="array"),
        pytest.param("off", id="text"),
        pytest.param({"typing": {"enabled": False}}, id="unknown setting"),
        pytest.param({"typing_indicators": False}, id="bare boolean"),
        pytest.param({"typing_indicators": {}}, id="enabled missing"),
        pytest.param({"read_receipts": {"enabled": "false"}}, id="enabled as text"),
        pytest.param({"read_receipts": {"enabled": 0}}, id="enabled as number"),
        pytest.param({"delivery_receipts": {"enabled": None}}, id="enabled null"),
        pytest.param({"delivery_receipts": {"enabled": True, "x": 1}}, id="unknown member"),
    ],
)
def test_malformed_privacy_settings_are_refused(settings):
    refusal = refusal_of({"id": "bender", "privacy_settings": settings})
    assert refusal.code is Code.USER_INVALID
    assert "privacy_settings" in refusal.detail


def object_of_size(size, filler="x"):
    empty = len(json.dumps({"id": "bender", "about": ""}, separators=(",", ":")))
    about = filler * ((size - empty) // len(filler.encode()))
    user = {"id": "bender", "about": about}
    user["about"] += "x" * (size - len(_compact(user)))
    assert len(_compact(user)) == size
    return user


def _compact(user):
    return json.dumps(user, ensure_ascii=False, separators=(",", ":")).encode()


@pytest.mark.parametrize("filler", ["x", "é", "🤖"])
def test_object_of_5120_bytes_is_refused(filler):
    """5,119 bytes of compact UTF-8 JSON pass, in any script."""
    stream_user.check(object_of_size(5119, filler), "bender")
    refusal = refusal_of(object_of_size(5120, filler))
    assert refusal.code is Code.USER_INVALID
    assert "5120 bytes" in refusal.detail


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=12), json_values, max_size=6))
def test_any_object_is_accepted_or_refused(user):
    try:
        stream_user.check(user, "bender")
    except Refusal as refusal:
        assert refusal.code in {Code.USER_INVALID, Code.USER_ID_MISMATCH}
    else:
        assert user["id"] == "bender"
