"""`tokensvc users` and `tokensvc app`, as an operator runs them."""

import json

import pytest

from tests.cli.conftest import Tokensvc
from tokensvc.cli.actions import operator

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


def test_user_is_revoked_and_the_revocation_undone(tokensvc: Tokensvc) -> None:
    """The events name the operator and the reason."""
    revoked = tokensvc("users", "revoke", "ada", "--reason", "lost phone", "--json").json
    assert revoked["tokens_valid_after"] > revoked["revocation"]["created_at"]
    assert (revoked["reason"], revoked["holds_until"]) == ("lost phone", "next_sign_in")
    revocation_id = revoked["revocation"]["id"]
    shown = tokensvc("users", "show", "ada")
    assert revocation_id in shown.out
    assert "lost phone" in shown.out
    undone = tokensvc("users", "undo", "ada", revocation_id)
    assert undone.code == 0
    assert "stolen ones too" in undone.err
    assert tokensvc("users", "show", "ada", "--json").json["tokens_valid_after"] is None
    trail = [json.loads(line) for line in tokensvc("audit", "--json").out.splitlines()]
    assert [(event["action"], event["reason"]) for event in trail] == [
        ("user:revocation_undone", None),
        ("user:revoked", "lost phone"),
    ]
    assert {event["actor"] for event in trail} == {operator()}
    assert {event["request_id"] for event in trail} == {None}


def test_users_with_an_action_are_listed_in_pages(tokensvc: Tokensvc) -> None:
    assert tokensvc("users", "list").out == "No such user.\n"
    tokensvc("users", "suspend", "ada", "--reason", "spam")
    tokensvc("users", "revoke", "bob")
    first = tokensvc("users", "list", "--limit", "1")
    assert first.out.splitlines()[-1].split()[:2] == ["ada", "yes"]
    assert first.err == "For more: --after ada\n"
    rest = tokensvc("users", "list", "--after", "ada", "--json").json
    assert [user["user_id"] for user in rest] == ["bob"]
    suspended = tokensvc("users", "list", "--suspended", "--json").json
    assert [user["reason"] for user in suspended] == ["spam"]


def test_renewed_user_is_refused_nothing(tokensvc: Tokensvc) -> None:
    tokensvc.settings["TOKENSVC_STREAM__DELIVERY"] = "on"
    renewed = tokensvc("users", "renew", "ada", "--reason", "lost phone")
    assert (renewed.code, renewed.err) == (0, "")
    assert "refused" not in renewed.out
    shown = tokensvc("users", "show", "ada", "--json").json
    assert (shown["tokens_valid_after"], shown["stream"]["state"]) == (None, "pending")
    (event,) = [json.loads(line) for line in tokensvc("audit", "--json").out.splitlines()]
    assert (event["action"], event["reason"]) == ("user:renewed", "lost phone")


def test_user_without_any_action_has_nothing_to_send(tokensvc: Tokensvc) -> None:
    """A mistyped ID does not look like one that Stream has confirmed."""
    tokensvc.settings["TOKENSVC_STREAM__DELIVERY"] = "on"
    for command in (("users", "show", "mistyped"), ("app", "show")):
        last = tokensvc(*command).out.splitlines()[-1]
        assert last.split(maxsplit=1) == ["Stream", "nothing to send"]
        assert tokensvc(*command, "--json").json["stream"]["state"] == "none"
    shown = tokensvc("users", "revoke", "ada").out
    assert "(to watch it: tokensvc users show ada)" in shown
    assert tokensvc("users", "show", "ada", "--json").json["stream"]["state"] == "pending"


@pytest.mark.sec(32)
def test_suspended_user_gets_no_token_until_reinstated(tokensvc: Tokensvc) -> None:
    """An operator cannot mint for the user either."""
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


def test_app_is_revoked_and_the_revocation_undone(tokensvc: Tokensvc) -> None:
    result = tokensvc("app", "revoke", "--dry-run")
    assert "Dry run, nothing changed." in result.out
    assert "All users are refused until the next sign-in." in result.out
    assert tokensvc("app", "show", "--json").json["tokens_valid_after"] is None
    revoked = tokensvc("app", "revoke", "--reason", "leak", "--json").json
    assert tokensvc("app", "show", "--json").json["revocation"] == revoked["revocation"]
    assert "A cut-off for all users also applies" in tokensvc("users", "show", "ada").out
    undone = tokensvc("app", "undo", revoked["revocation"]["id"], "--json").json
    assert undone["tokens_valid_after"] is None
    assert "stolen ones too" in undone["warning"]


@pytest.mark.parametrize("action", ["revoke", "suspend"])
def test_dry_run_changes_nothing(tokensvc: Tokensvc, action: str) -> None:
    result = tokensvc("users", action, "ada", "--dry-run", "--json").json
    assert result["dry_run"] is True
    assert result["revocation"] is not None
    assert tokensvc("users", "show", "ada", "--json").json["revocation"] is None
    assert tokensvc("audit", "--json").out == ""


def test_revoke_warns_if_the_provider_renews_tokens_without_a_sign_in(tokensvc: Tokensvc) -> None:
    weak = {"TOKENSVC_ISSUERS": json.dumps(ISSUERS[1:])}
    revoked = tokensvc("users", "revoke", "ada", **weak)
    assert "the provider's next token" in revoked.out
    assert "suspend them" in revoked.out
    strong = {"TOKENSVC_ISSUERS": json.dumps(ISSUERS[:1])}
    assert "until the next sign-in" in tokensvc("users", "revoke", "ada", **strong).out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("users", "revoke", "Ada"), "a-z"),
        (("users", "show", "a b"), "a-z"),
        (("users", "undo", "ada", "rev_none"), "revocation was not found"),
        (("app", "undo", "rev_none"), "revocation was not found"),
    ],
)
def test_refusal_is_one_line_with_status_1(
    tokensvc: Tokensvc, arguments: tuple[str, ...], text: str
) -> None:
    ended = tokensvc(*arguments)
    assert (ended.code, ended.out) == (1, "")
    assert text in ended.err
    assert ended.err.count("\n") == 1


def test_undo_of_a_superseded_revocation_is_refused(tokensvc: Tokensvc) -> None:
    """The undo for a suspended user is refused too."""
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
    assert tokensvc(*arguments).code == 2


def test_users_are_suspended_while_the_stream_keys_conflict(tokensvc: Tokensvc) -> None:
    """A service that cannot start must not prevent a suspension."""
    tokensvc("users", "show", "ada")
    other = {"STREAM_API_SECRET": "another-secret-of-the-same-key-0123456789"}
    assert tokensvc("token", "mint", "ada").code == 0
    assert tokensvc("token", "mint", "ada", **other).code == 1
    assert tokensvc("users", "suspend", "ada", "--json", **other).json["suspended"] is True
