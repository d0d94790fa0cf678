"""`tokensvc token`: mints by the rules of the route, and inspects tokens."""

import json
import time

import jwt
import pytest

from testing.refused_writes import refuse_writes
from testing.service import STREAM_API_KEY, STREAM_API_SECRET
from tokensvc.cli.actions import operator
from tokensvc.database import schema
from tokensvc.database.engine import Database
from tokensvc.standing.tables import app_standing, user_standings


def signed(**claims):
    return jwt.encode(claims, STREAM_API_SECRET, algorithm="HS256")


@pytest.fixture
def migrated(tmp_path):
    database = Database.open(f"sqlite:///{tmp_path / 'tokensvc.db'}", pool_size=1)
    schema.migrate(database)
    database.close()
    return tmp_path


def write(folder, table, **values):
    database = Database.open(f"sqlite:///{folder / 'tokensvc.db'}", pool_size=1)
    with database.write() as tx:
        if table is app_standing:
            tx.execute(table.update().values(**values))
        else:
            tx.execute(table.insert().values(**values))
    database.close()


def test_mint_prints_only_the_token(tokensvc):
    """It has exactly the three claims, and the active key signs it."""
    ended = tokensvc("token", "mint", "john", "--ttl", "600")
    assert ended.code == 0
    token = ended.out.strip()
    claims = jwt.decode(token, STREAM_API_SECRET, algorithms=["HS256"])
    assert set(claims) == {"user_id", "iat", "exp"}
    assert claims["user_id"] == "john"
    assert claims["exp"] - claims["iat"] == 605
    assert "john" in ended.err
    assert STREAM_API_KEY in ended.err
    assert token not in ended.err


def test_too_long_ttl_is_shortened_with_a_warning(tokensvc):
    warning = "Warning: --ttl 9000 exceeds `token.ttl`; the token is valid for 3600 s."
    for json_option in ((), ("--json",)):
        assert warning in tokensvc("token", "mint", "john", "--ttl", "9000", *json_option).err
    assert "Warning" not in tokensvc("token", "mint", "john", "--ttl", "3600").err


def mints(tokensvc):
    lines = tokensvc("audit", "--action", "token:minted", "--json").out.splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.sec(59)
def test_mint_is_audited_but_refused_mint_and_inspection_are_not(tokensvc):
    token = tokensvc("token", "mint", "john").out
    tokensvc("token", "mint", "John")
    tokensvc("token", "inspect", stdin=token)
    (event,) = mints(tokensvc)
    assert (event["actor"], event["subject"]) == (operator(), "john")
    assert (event["outcome"], event["request_id"]) == ("ok", None)


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_mint_that_cannot_be_audited_prints_no_token(tokensvc, options):
    """Otherwise an operator who fills the disk could act as any user without a record."""
    assert tokensvc("token", "mint", "john").code == 0
    database = Database.open(f"sqlite:///{tokensvc.folder / 'tokensvc.db'}", pool_size=1)
    refuse_writes(database, "audit_events")
    database.close()
    ended = tokensvc.process("token", "mint", "jane", *options)
    assert ended.code == 1
    assert ended.out == ""
    assert "eyJ" not in ended.err
    assert [event["subject"] for event in mints(tokensvc)] == ["john"]


def test_mint_json_has_the_members_of_the_route(tokensvc):
    minted = tokensvc("token", "mint", "john", "--api-key", STREAM_API_KEY, "--json").json
    claims = jwt.decode(minted["token"], STREAM_API_SECRET, algorithms=["HS256"])
    assert minted["user_id"] == claims["user_id"] == "john"
    assert (minted["issued_at"], minted["expires_at"]) == (claims["iat"], claims["exp"])
    assert minted["api_key"] == STREAM_API_KEY


def test_mint_passes_a_cut_off_but_not_a_suspension(tokensvc, migrated):
    """The operator's word counts as a fresh sign-in."""
    now = int(time.time())
    write(migrated, user_standings, user_id="john", tokens_valid_after=now, floor=now)
    write(migrated, user_standings, user_id="mallory", suspended_at=now)
    assert tokensvc("token", "mint", "john").code == 0
    ended = tokensvc("token", "mint", "mallory")
    assert ended.code == 1
    assert "suspended" in ended.err
    assert ended.out == ""


@pytest.mark.parametrize(
    ("arguments", "code", "hint"),
    [
        (("John",), 1, "a-z 0-9"),
        (("john", "--ttl", "59"), 2, "60"),
        (("john", "--api-key", "unknown"), 1, "unknown or retired"),
    ],
)
def test_refused_mint_exits_with_1_and_wrong_usage_with_2(tokensvc, arguments, code, hint):
    ended = tokensvc("token", "mint", *arguments)
    assert ended.code == code
    assert hint in ended.err
    assert ended.out == ""


def test_inspect_shows_user_times_and_key_of_valid_token(tokensvc):
    token = tokensvc("token", "mint", "john").out
    ended = tokensvc("token", "inspect", stdin=token)
    assert ended.code == 0
    for fact in ("john", STREAM_API_KEY, "active", "UTC", "Stream accepts it"):
        assert fact in ended.out
    assert token.strip() not in ended.out
    as_json = tokensvc("token", "inspect", token.strip(), "--json")
    assert as_json.code == 0
    assert as_json.json["faults"] == []
    assert as_json.json["key_state"] == "active"


@pytest.mark.sec(25)
def test_inspect_lists_every_reason_for_refusal_without_secrets(tokensvc, migrated):
    now = int(time.time())
    write(migrated, user_standings, user_id="john", tokens_valid_after=now - 9, floor=now)
    ended = tokensvc("token", "inspect", stdin=signed(user_id="john", iat=now - 99, exp=now - 50))
    assert ended.code == 1
    assert "before a revocation (code 40)" in ended.out
    assert "expired" in ended.out
    assert STREAM_API_SECRET not in ended.out + ended.err


def test_inspect_applies_the_cut_off_of_the_app(tokensvc, migrated):
    now = int(time.time())
    write(migrated, app_standing, tokens_valid_after=now - 60, floor=now - 60)
    ended = tokensvc("token", "inspect", "--json", stdin=signed(user_id="john", iat=now - 700))
    assert ended.code == 1
    assert ended.json["faults"] == ["it was issued before a revocation (code 40)"]


def test_inspect_of_other_text_fails_with_one_line(tokensvc):
    ended = tokensvc("token", "inspect", stdin="eyJhbGciOiJcdTAwMWJbMzFtIn0.e30.e30")
    assert ended.code == 1
    assert "doctor --token" in ended.err
    assert "\x1b" not in ended.err
    assert ended.err.count("\n") == 1


def test_inspect_of_empty_input_is_wrong_usage(tokensvc):
    ended = tokensvc("token", "inspect", "-")
    assert ended.code == 2
    assert "Standard input" in ended.err


def test_inspected_user_id_cannot_control_the_terminal(tokensvc):
    token = signed(user_id="\x1b]0;owned\x07\u202e\ud800", iat=1)
    shown = tokensvc("token", "inspect", stdin=token)
    assert "\x1b" not in shown.out
    assert "\u202e" not in shown.out
    assert "\\x1b]0;owned\\x07\\u202e\\ud800" in shown.out
