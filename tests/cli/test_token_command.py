"""`tokensvc token`: an operator mints by the rules of the route, and has tokens explained."""

import getpass
import json
import time

import jwt
import pytest

from testing.refused_writes import refuse_writes
from testing.service import STREAM_API_KEY, STREAM_API_SECRET
from tokensvc.database import schema, tables
from tokensvc.database.engine import Database


def signed(**claims):
    return jwt.encode(claims, STREAM_API_SECRET, algorithm="HS256")


@pytest.fixture
def migrated(tmp_path):
    database = Database.open(f"sqlite:///{tmp_path / 'tokensvc.db'}", pool_size=1)
    schema.migrate(database)
    database.close()
    return tmp_path


def write(folder, table, **values):
    """Write what the acts of revocation will write, when they are there."""
    database = Database.open(f"sqlite:///{folder / 'tokensvc.db'}", pool_size=1)
    with database.write() as tx:
        if table is tables.app_standing:
            tx.execute(table.update().values(**values))
        else:
            tx.execute(table.insert().values(**values))
    database.close()


def test_a_minted_token_is_one_of_the_route(tokensvc):
    """Standard output holds the bare token: exactly the three claims, signed by the active key."""
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


def mints(tokensvc):
    lines = tokensvc("audit", "--action", "token:minted", "--json").out.splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.sec(59)
def test_an_operators_mint_is_on_the_trail(tokensvc):
    """Whose doing and for whom; one that is refused is none, and inspecting a token is none."""
    token = tokensvc("token", "mint", "john").out
    tokensvc("token", "mint", "John")
    tokensvc("token", "inspect", stdin=token)
    (event,) = mints(tokensvc)
    assert (event["actor"], event["subject"]) == (f"cli:{getpass.getuser()}", "john")
    assert (event["outcome"], event["request_id"]) == ("ok", None)


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_mint_that_cannot_be_put_on_the_trail_shows_no_token(tokensvc, options):
    """Else whoever can fill a disk could become anybody unseen."""
    assert tokensvc("token", "mint", "john").code == 0
    database = Database.open(f"sqlite:///{tokensvc.folder / 'tokensvc.db'}", pool_size=1)
    refuse_writes(database, "audit_events")
    database.close()
    ended = tokensvc.process("token", "mint", "jane", *options)
    assert ended.code == 1
    assert ended.out == ""
    assert "eyJ" not in ended.err
    assert [event["subject"] for event in mints(tokensvc)] == ["john"]


def test_json_says_what_the_route_says(tokensvc):
    """`--json` gives the facts of the answer of POST /v1/token."""
    minted = tokensvc("token", "mint", "john", "--api-key", STREAM_API_KEY, "--json").json
    claims = jwt.decode(minted["token"], STREAM_API_SECRET, algorithms=["HS256"])
    assert minted["user_id"] == claims["user_id"] == "john"
    assert (minted["issued_at"], minted["expires_at"]) == (claims["iat"], claims["exp"])
    assert minted["api_key"] == STREAM_API_KEY


def test_an_operator_is_a_fresh_sign_in_and_no_way_around_a_suspension(tokensvc, migrated):
    """A cut-off does not stop an operator's mint; a suspension does."""
    now = int(time.time())
    write(migrated, tables.user_standings, user_id="john", tokens_valid_after=now, floor=now)
    write(migrated, tables.user_standings, user_id="mallory", suspended_at=now)
    assert tokensvc("token", "mint", "john").code == 0
    ended = tokensvc("token", "mint", "mallory")
    assert ended.code == 1
    assert "suspended" in ended.err
    assert ended.out == ""


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("John",), 1, "a-z 0-9"),
        (("john", "--ttl", "59"), 2, "60"),
        (("john", "--api-key", "unknown"), 1, "unknown or retired"),
    ],
)
def test_a_mint_that_cannot_be_says_why(tokensvc, arguments, code, told):
    """The rules of the route hold, and wrong usage is told apart from a refusal."""
    ended = tokensvc("token", "mint", *arguments)
    assert ended.code == code
    assert told in ended.err
    assert ended.out == ""


def test_a_good_token_is_explained(tokensvc):
    """Whose, from when to when, by which key: told from stdin, and the token is not repeated."""
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
def test_a_bad_token_is_told_why(tokensvc, migrated):
    """Every fault is told with Stream's code, the status is 1, and no secret is told with it."""
    now = int(time.time())
    write(migrated, tables.user_standings, user_id="john", tokens_valid_after=now - 9, floor=now)
    ended = tokensvc("token", "inspect", stdin=signed(user_id="john", iat=now - 99, exp=now - 50))
    assert ended.code == 1
    assert "before a revocation (code 40)" in ended.out
    assert "expired" in ended.out
    assert STREAM_API_SECRET not in ended.out + ended.err


def test_an_app_wide_cut_off_covers_everyone(tokensvc, migrated):
    """A token from before the app's cut-off is explained as revoked."""
    now = int(time.time())
    write(migrated, tables.app_standing, tokens_valid_after=now - 60, floor=now - 60)
    ended = tokensvc("token", "inspect", "--json", stdin=signed(user_id="john", iat=now - 700))
    assert ended.code == 1
    assert ended.json["faults"] == ["it was issued before a revocation (code 40)"]


def test_what_is_no_token_is_told_in_a_sentence(tokensvc):
    """A text that is no Stream token ends with 1 and one line, whatever it spells."""
    ended = tokensvc("token", "inspect", stdin="eyJhbGciOiJcdTAwMWJbMzFtIn0.e30.e30")
    assert ended.code == 1
    assert "doctor --token" in ended.err
    assert "\x1b" not in ended.err
    assert ended.err.count("\n") == 1


def test_an_empty_input_is_wrong_usage(tokensvc):
    """Nothing on standard input is told as what it is."""
    ended = tokensvc("token", "inspect", "-")
    assert ended.code == 2
    assert "standard input" in ended.err


def test_a_user_of_the_token_cannot_steer_the_terminal(tokensvc):
    """A token's own text is written so that it does nothing to the terminal that shows it."""
    token = signed(user_id="\x1b]0;owned\x07\u202e", iat=1)
    shown = tokensvc("token", "inspect", stdin=token)
    assert "\x1b" not in shown.out
    assert "\u202e" not in shown.out
    assert "\\x1b]0;owned" in shown.out
