"""`tokensvc doctor`: what is wrong is named with what to do, against real parts that are wrong."""

import contextlib
import json
import sqlite3
import time

import pytest

from testing.doubles.issuer import IssuerDouble
from testing.doubles.stream import StreamDouble
from testing.service import STREAM_API_KEY, STREAM_API_SECRET

REGENERATED = "a-secret-that-the-dashboard-made-anew-45"


@pytest.fixture
def stream():
    with StreamDouble({STREAM_API_KEY: STREAM_API_SECRET}) as double:
        yield double


@pytest.fixture
def issuer():
    with IssuerDouble() as double:
        yield double


@pytest.fixture
def doctor(tokensvc, stream, issuer):
    """Give the command on settings under which all is well."""
    tokensvc.settings |= {
        "STREAM_BASE_URL": stream.url,
        "TOKENSVC_ISSUERS": json.dumps([issuer.settings().model_dump(mode="json")]),
    }
    return lambda *arguments, **more: tokensvc("doctor", *arguments, **more)


def contents(folder):
    """Give every row of the database."""
    with contextlib.closing(sqlite3.connect(folder / "tokensvc.db")) as connection:
        return list(connection.iterdump())


def states(ended):
    return {result["check"]: result["state"] for result in ended.json}


def test_all_is_well(doctor, tokensvc):
    """Settings, database, issuer, Stream key, clock and delivery are looked at and found well."""
    tokensvc("migrate")
    ended = doctor("--json")
    assert states(ended) == {
        "settings": "ok",
        "database": "ok",
        "issuer acme": "ok",
        f"Stream key {STREAM_API_KEY}": "ok",  # a start would put it into the ring
        "clock": "ok",
        "delivery": "ok",
    }
    assert ended.code == 0
    assert STREAM_API_SECRET not in ended.out + ended.err


def test_nothing_is_made_before_the_first_start(doctor, tmp_path):
    """Without a database the rest is still looked at, and no file is left behind."""
    ended = doctor("--json")
    assert states(ended)["database"] == "degraded"
    assert states(ended)[f"Stream key {STREAM_API_KEY}"] == "ok"
    assert ended.code == 0
    assert list(tmp_path.glob("tokensvc.db*")) == []


def test_a_diagnosis_writes_nothing(doctor, tokensvc, issuer, tmp_path):
    """No Stream key, no issuer's keys, no encryption key, and no event come of a look."""
    tokensvc("migrate")
    before = contents(tmp_path)
    assert doctor().code == 0
    assert doctor("--token", issuer.token(sub="john")).code == 0
    assert contents(tmp_path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tokensvc.db"]


def test_what_a_start_would_refuse_is_found(doctor, tokensvc, tmp_path):
    """Another secret for a key of the ring, no key at all, an encryption key that is gone."""
    assert tokensvc("token", "mint", "john").code == 0
    conflict = doctor(STREAM_API_SECRET="another-stream-secret-of-more-than-32-bytes")
    assert (conflict.code, "stream-keys add" in conflict.out) == (1, True)
    (tmp_path / "tokensvc.db.key").unlink()
    uncovered = doctor()
    assert (uncovered.code, "no encryption key" in uncovered.out) == (1, True)
    assert not (tmp_path / "tokensvc.db.key").exists()
    nothing = doctor(
        STREAM_API_KEY="",
        STREAM_API_SECRET="",
        TOKENSVC_DATABASE_URL=f"sqlite:///{tmp_path / 'other.db'}",
    )
    assert (nothing.code, "set STREAM_API_KEY" in nothing.out) == (1, True)


def test_a_wrong_secret_is_found(doctor, stream):
    """A secret that Stream refuses fails, with Stream's code."""
    stream.app.keys[STREAM_API_KEY] = "the-secret-was-changed-in-the-dashboard"
    ended = doctor()
    assert ended.code == 1
    assert "FAIL  Stream key" in ended.out
    assert "code 43" in ended.out
    assert STREAM_API_SECRET not in ended.out + ended.err


def test_two_secrets_of_one_api_key_are_told_apart(doctor, tokensvc, stream):
    """By state and fingerprint, as `stream-keys list` has them."""
    assert tokensvc("token", "mint", "john").code == 0
    assert tokensvc("stream-keys", "add", STREAM_API_KEY, stdin=REGENERATED).code == 0
    stream.app.keys[STREAM_API_KEY] = REGENERATED
    found = states(doctor("--json"))
    for key in tokensvc("stream-keys", "list", "--json").json:
        name = f"Stream key {STREAM_API_KEY} ({key['state']}, {key['fingerprint']})"
        assert found[name] == {"active": "failed", "standby": "ok"}[key["state"]]


@pytest.mark.parametrize(
    "ciphertext", ["'no-ciphertext'", "(SELECT secret_ciphertext FROM stream_keys LIMIT 1)"]
)
def test_a_damaged_secret_is_found(doctor, tokensvc, tmp_path, ciphertext):
    """It is named with its id and what to do, by doctor and by a start; that mends it."""
    assert tokensvc("token", "mint", "john").code == 0
    added = tokensvc("stream-keys", "add", "k2", "--json", stdin=REGENERATED).json
    with contextlib.closing(sqlite3.connect(tmp_path / "tokensvc.db")) as connection:
        connection.execute(
            f"UPDATE stream_keys SET secret_ciphertext = {ciphertext} WHERE api_key = 'k2'"
        )
        connection.commit()
    found = doctor()
    assert found.code == 1
    start = tokensvc("token", "mint", "john")
    assert start.code == 1
    for told in (found.out, start.err):
        assert added["id"] in told
        assert f"`tokensvc stream-keys retire {added['id']}`" in told
        assert "set STREAM_API_KEY" not in told
    assert f"FAIL  Stream key k2 (standby, {added['fingerprint']})" in found.out
    assert f"ok    Stream key {STREAM_API_KEY} (active" in found.out
    assert tokensvc("stream-keys", "retire", added["id"]).code == 0
    assert tokensvc("token", "mint", "john").code == 0


def test_a_damaged_active_secret_is_given_back(doctor, tokensvc, tmp_path):
    """By the command that doctor names, and the service starts again."""
    assert tokensvc("token", "mint", "john").code == 0
    with contextlib.closing(sqlite3.connect(tmp_path / "tokensvc.db")) as connection:
        connection.execute("UPDATE stream_keys SET secret_ciphertext = 'no-ciphertext'")
        connection.commit()
    told = doctor().out
    assert f"`tokensvc stream-keys add {STREAM_API_KEY} --without-lost-keys`" in told
    command = ("stream-keys", "add", STREAM_API_KEY, "--without-lost-keys")
    assert tokensvc(*command, stdin=STREAM_API_SECRET).code == 0
    assert doctor().code == 0


def test_a_stream_that_is_down_is_no_verdict(doctor, stream):
    """A key that could not be checked is a warning: the service mints without Stream."""
    stream.close()
    ended = doctor("--json")
    assert states(ended)[f"Stream key {STREAM_API_KEY}"] == "degraded"
    assert ended.code == 0


@pytest.mark.parametrize(
    ("offset", "state", "told"), [(-60, "failed", "code 42"), (60, "degraded", "behind Stream's")]
)
def test_a_wrong_clock_is_found(doctor, stream, offset, state, told):
    """A clock ahead of Stream's by more than the skew is fatal to clients; one behind is not."""
    stream.clock.offset = offset
    ended = doctor("--json")
    (clock,) = [result for result in ended.json if result["check"] == "clock"]
    assert clock["state"] == state
    assert told in clock["detail"]


def test_an_issuer_that_is_down_is_found(doctor, issuer):
    """An issuer without keys fails by its name."""
    issuer.close()
    ended = doctor("--json")
    assert states(ended)["issuer acme"] == "failed"
    assert ended.code == 1


@pytest.mark.sec(61)
def test_every_fault_of_the_settings_is_told(doctor):
    """All faults are told at once, each with its name."""
    ended = doctor(TOKENSVC_PUBLIC_URL="http://x.example", TOKENSVC_TOKEN__TTL="1", TOKENSVC_X="1")
    assert ended.code == 1
    for name in ("TOKENSVC_PUBLIC_URL", "TOKENSVC_TOKEN__TTL", "TOKENSVC_X"):
        assert name in ended.out


def test_a_schema_that_is_behind_is_found(doctor, tokensvc, postgres_url):
    """An empty PostgreSQL fails and names the command; after that command all is well."""
    settings = {
        "TOKENSVC_DATABASE_URL": postgres_url,
        "TOKENSVC_ENCRYPTION_KEYS": json.dumps(["MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="]),
    }
    ended = doctor(**settings)
    assert ended.code == 1
    assert "tokensvc migrate" in ended.out
    assert tokensvc("migrate", **settings).code == 0
    assert doctor(**settings).code == 0


def test_a_good_token_is_explained(doctor, issuer):
    """Each check of a user's token passes, and the mapped id is told."""
    ended = doctor("--token", issuer.token(sub="john"), "--json")
    assert ended.code == 0
    assert {result["state"] for result in ended.json} == {"ok"}
    assert ended.json[-1] == {"check": "user id", "state": "ok", "detail": "john"}


def test_a_bad_token_names_the_settings(doctor, issuer):
    """Every fault of a token is told with the setting that it is about; stdin works too."""
    token = issuer.token(sub="auth0|7", aud="other", exp=int(time.time()) - 60)
    ended = doctor("--token", "-", stdin=token)
    assert ended.code == 1
    failed = [line for line in ended.out.splitlines() if line.startswith("FAIL")]
    for setting in ("audience", "user_id_mapping"):
        assert any(setting in line for line in failed), setting
    assert token not in ended.out + ended.err
