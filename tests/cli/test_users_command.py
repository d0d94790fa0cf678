"""`tokensvc users` and `tokensvc app`, as an operator runs them."""

import getpass
import json

import pytest

from tests.cli.conftest import Tokensvc

ISSUERS = [
    {
        "name": "acme",
        "issuer": "https://id.acme.example",
        "audience": "chat",
        "jwks_uri": "https://id.acme.example/jwks.json",
        "sign_in_time": sign_in_time,
    }
    for sign_in_time in ("auth_time", "iat")
]


def test_a_user_is_signed_out_and_let_off(tokensvc: Tokensvc) -> None:
    """Revoke, look, undo; the trail names the operator and the reason."""
    revoked = tokensvc("users", "revoke", "ada", "--reason", "lost phone", "--json").json
    assert revoked["tokens_valid_after"] == revoked["revocation"]["created_at"] + 1
    assert (revoked["reason"], revoked["holds_until"]) == ("lost phone", "next_sign_in")
    act = revoked["revocation"]["id"]
    shown = tokensvc("users", "show", "ada")
    assert act in shown.out
    assert "lost phone" in shown.out
    undone = tokensvc("users", "undo", "ada", act)
    assert undone.code == 0
    assert "stolen ones too" in undone.err
    assert tokensvc("users", "show", "ada", "--json").json["tokens_valid_after"] is None
    trail = [json.loads(line) for line in tokensvc("audit", "--json").out.splitlines()]
    assert [(event["action"], event["reason"]) for event in trail] == [
        ("user:revocation_undone", None),
        ("user:revoked", "lost phone"),
    ]
    assert {event["actor"] for event in trail} == {f"cli:{getpass.getuser()}"}
    assert {event["request_id"] for event in trail} == {None}


@pytest.mark.sec(32)
def test_a_user_is_suspended_and_reinstated(tokensvc: Tokensvc) -> None:
    """Nobody mints for them meanwhile, the operator included."""
    suspended = tokensvc("users", "suspend", "mallory@example", "--reason", "spam")
    assert suspended.code == 0
    assert "The user is refused until the user is reinstated." in suspended.out
    refused = tokensvc("token", "mint", "mallory@example")
    assert (refused.code, refused.out) == (1, "")
    assert "suspended" in refused.err
    again = tokensvc("users", "suspend", "mallory@example", "--json").json
    assert again["reason"] == "spam"
    assert tokensvc("users", "reinstate", "mallory@example", "--json").json["suspended"] is False
    assert tokensvc("users", "reinstate", "mallory@example").code == 0


def test_everyone_is_signed_out_and_let_off(tokensvc: Tokensvc) -> None:
    """First as a rehearsal, then in earnest."""
    would = tokensvc("app", "revoke", "--dry-run")
    assert "Dry run, nothing changed." in would.out
    assert "All users are refused until the next sign-in." in would.out
    assert tokensvc("app", "show", "--json").json["tokens_valid_after"] is None
    revoked = tokensvc("app", "revoke", "--reason", "leak", "--json").json
    assert tokensvc("app", "show", "--json").json["revocation"] == revoked["revocation"]
    assert "A cut-off for all users also applies" in tokensvc("users", "show", "ada").out
    undone = tokensvc("app", "undo", revoked["revocation"]["id"], "--json").json
    assert undone["tokens_valid_after"] is None
    assert "stolen ones too" in undone["warning"]


@pytest.mark.parametrize("act", ["revoke", "suspend"])
def test_a_rehearsal_is_only_told(tokensvc: Tokensvc, act: str) -> None:
    """Nothing is kept of it."""
    would = tokensvc("users", act, "ada", "--dry-run", "--json").json
    assert would["dry_run"] is True
    assert would["revocation"] is not None
    assert tokensvc("users", "show", "ada", "--json").json["revocation"] is None
    assert tokensvc("audit", "--json").out == ""


def test_an_operator_is_told_when_a_revocation_holds_little(tokensvc: Tokensvc) -> None:
    """Where the provider renews tokens without a sign-in, the answer says what to do instead."""
    weak = {"TOKENSVC_ISSUERS": json.dumps(ISSUERS[1:])}
    revoked = tokensvc("users", "revoke", "ada", **weak)
    assert "the provider's next token" in revoked.out
    assert "suspend them" in revoked.out
    strong = {"TOKENSVC_ISSUERS": json.dumps(ISSUERS[:1])}
    assert "until the next sign-in" in tokensvc("users", "revoke", "ada", **strong).out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("users", "revoke", "Ada"), "a-z"),
        (("users", "show", "a b"), "a-z"),
        (("users", "undo", "ada", "rev_none"), "revocation was not found"),
        (("app", "undo", "rev_none"), "revocation was not found"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_sentence(
    tokensvc: Tokensvc, arguments: tuple[str, ...], told: str
) -> None:
    """Status 1 and one line."""
    ended = tokensvc(*arguments)
    assert (ended.code, ended.out) == (1, "")
    assert told in ended.err
    assert ended.err.count("\n") == 1


def test_only_the_latest_is_undone(tokensvc: Tokensvc) -> None:
    """A superseded act is refused, and so is one of a suspended user."""
    first = tokensvc("users", "revoke", "ada", "--json").json["revocation"]["id"]
    tokensvc("users", "suspend", "ada")
    assert "reinstate them first" in tokensvc("users", "undo", "ada", first).err
    tokensvc("users", "reinstate", "ada")
    assert "A later revocation is in effect" in tokensvc("users", "undo", "ada", first).err


@pytest.mark.parametrize(
    "arguments",
    [
        ("users", "revoke"),
        ("users", "undo", "ada"),
        ("users", "revoke", "ada", "--reason", "x" * 501),
        ("app", "revoke", "ada"),
    ],
)
def test_wrong_usage_is_told(tokensvc: Tokensvc, arguments: tuple[str, ...]) -> None:
    """Status 2, and nothing done."""
    assert tokensvc(*arguments).code == 2


def test_users_are_banned_while_the_keys_are_out_of_order(tokensvc: Tokensvc) -> None:
    """What keeps the service from starting does not keep an operator from banning."""
    tokensvc("users", "show", "ada")
    other = {"STREAM_API_SECRET": "another-secret-of-the-same-key-0123456789"}
    assert tokensvc("token", "mint", "ada").code == 0
    assert tokensvc("token", "mint", "ada", **other).code == 1
    assert tokensvc("users", "suspend", "ada", "--json", **other).json["suspended"] is True
