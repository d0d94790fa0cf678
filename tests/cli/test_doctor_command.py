"""`tokensvc doctor`: it finds what is wrong and says what to do."""

import contextlib
import json
import re
import sqlite3
import time

import pytest

from testing.doubles.issuer import IssuerDouble
from testing.doubles.stream import StreamDouble
from testing.service import STREAM_API_KEY, STREAM_API_SECRET
from tokensvc.database import schema
from tokensvc.database.engine import Database

REGENERATED = "a-secret-that-the-dashboard-generated-45"


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
    """Return the command, with valid settings."""
    tokensvc.settings |= {
        "STREAM_BASE_URL": stream.url,
        "TOKENSVC_ISSUERS": json.dumps([issuer.settings().model_dump(mode="json")]),
    }
    return lambda *arguments, **more: tokensvc("doctor", *arguments, **more)


def contents(folder):
    """Return every row of the database."""
    with contextlib.closing(sqlite3.connect(folder / "tokensvc.db")) as connection:
        return list(connection.iterdump())


def states(ended):
    return {result["check"]: result["state"] for result in ended.json}


def test_every_check_passes_on_a_valid_installation(doctor, tokensvc):
    tokensvc("migrate")
    ended = doctor("--json")
    assert states(ended) == {
        "settings": "ok",
        "database": "ok",
        "issuer acme": "ok",
        f"Stream key {STREAM_API_KEY}": "ok",  # a start would add it to the ring
        "Stream app guests_allowed": "ok",
        "clock": "ok",
        "database_clock": "ok",
        "delivery": "ok",
        "cut_offs": "ok",
    }
    assert ended.code == 0
    assert STREAM_API_SECRET not in ended.out + ended.err


def test_doctor_says_what_a_password_hash_takes_and_which_build_makes_it(doctor, tokensvc):
    tokensvc("migrate")
    tokensvc.settings |= {"TOKENSVC_ACCOUNTS__ENABLED": "true", "TOKENSVC_ISSUERS": "[]"}
    lines = doctor().out.splitlines()
    assert lines[-1] == f"All {len(lines) - 1} checks are ok."
    (hashing,) = (line for line in lines if "password hashing: " in line)
    assert re.search(r"ok +password hashing: [0-9]+ ms a hash with (the|a) .*build", hashing)


def test_doctor_writes_nothing(doctor, tokensvc, issuer, tmp_path):
    tokensvc("migrate")
    before = contents(tmp_path)
    assert doctor().code == 0
    assert doctor("--token", issuer.token(sub="john")).code == 0
    assert contents(tmp_path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tokensvc.db"]


def test_old_schema_of_sqlite_is_checked_as_the_start_would_migrate_it(
    doctor, tokensvc, tmp_path, monkeypatch
):
    with monkeypatch.context() as patched:
        patched.setattr(schema, "head", lambda: "0015")
        (tmp_path / "tokensvc.db").unlink()
        database = Database.open(f"sqlite:///{tmp_path / 'tokensvc.db'}", pool_size=1)
        schema.migrate(database)
        database.close()
    before = contents(tmp_path)
    ended = doctor("--json")
    assert states(ended)["database"] == "degraded"
    assert states(ended)[f"Stream key {STREAM_API_KEY}"] == "ok"
    assert contents(tmp_path) == before
    assert "No Stream key is active" in doctor(STREAM_API_KEY="", STREAM_API_SECRET="").out


def test_conflicting_secret_missing_encryption_key_and_missing_stream_key_fail(
    doctor, tokensvc, tmp_path
):
    assert tokensvc("token", "mint", "john").code == 0
    conflict = doctor(STREAM_API_SECRET="another-stream-secret-of-more-than-32-bytes")
    assert (conflict.code, "stream-keys add" in conflict.out) == (1, True)
    (tmp_path / "tokensvc.db.key").unlink()
    uncovered = doctor()
    assert (uncovered.code, "An encryption key is missing" in uncovered.out) == (1, True)
    assert not (tmp_path / "tokensvc.db.key").exists()
    none = {"STREAM_API_KEY": "", "STREAM_API_SECRET": ""}
    none["TOKENSVC_DATABASE_URL"] = f"sqlite:///{tmp_path / 'other.db'}"
    assert tokensvc("migrate", **none).code == 0
    nothing = doctor(**none)
    assert (nothing.code, "set STREAM_API_KEY" in nothing.out) == (1, True)


def test_secret_that_stream_rejects_fails_with_its_code(doctor, stream):
    stream.app.keys[STREAM_API_KEY] = "the-secret-was-changed-in-the-dashboard"
    ended = doctor()
    assert ended.code == 1
    assert "FAIL  Stream key" in ended.out
    assert "code 43" in ended.out
    last = ended.out.splitlines()[-1]
    number = len(ended.out.splitlines()) - 1
    assert last == f"Of {number} checks, 1 failed, 0 warned, {number - 1} are ok."
    assert STREAM_API_SECRET not in ended.out + ended.err


def test_two_secrets_of_an_api_key_are_named_by_state_and_fingerprint(doctor, tokensvc, stream):
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
def test_damaged_secret_is_reported_with_the_commands_that_repair_it(
    doctor, tokensvc, tmp_path, ciphertext
):
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
    for output in (found.out, start.err):
        assert f"`tokensvc stream-keys retire {added['id']}`" in output
        assert "set STREAM_API_KEY" not in output
    assert f"FAIL  Stream key k2 (standby, {added['fingerprint']})" in found.out
    assert f"ok    Stream key {STREAM_API_KEY} (active" in found.out
    assert tokensvc("stream-keys", "retire", added["id"]).code == 0
    assert tokensvc("token", "mint", "john").code == 0


def test_damaged_active_secret_can_be_restored(doctor, tokensvc, tmp_path):
    assert tokensvc("token", "mint", "john").code == 0
    with contextlib.closing(sqlite3.connect(tmp_path / "tokensvc.db")) as connection:
        connection.execute("UPDATE stream_keys SET secret_ciphertext = 'no-ciphertext'")
        connection.commit()
    hint = f"`tokensvc stream-keys add {STREAM_API_KEY} --without-lost-keys`"
    assert hint in doctor().out
    command = ("stream-keys", "add", STREAM_API_KEY, "--without-lost-keys")
    assert tokensvc(*command, stdin=STREAM_API_SECRET).code == 0
    assert doctor().code == 0


def test_unreachable_stream_is_a_warning(doctor, stream):
    """The service mints without Stream."""
    stream.close()
    ended = doctor("--json")
    assert states(ended)[f"Stream key {STREAM_API_KEY}"] == "degraded"
    assert ended.code == 0


@pytest.mark.parametrize(
    ("offset", "state", "hint"), [(-60, "failed", "code 42"), (60, "degraded", "behind Stream's")]
)
def test_clock_ahead_of_stream_fails_and_clock_behind_is_a_warning(
    doctor, stream, offset, state, hint
):
    stream.clock.offset = offset
    ended = doctor("--json")
    (clock,) = [result for result in ended.json if result["check"] == "clock"]
    assert clock["state"] == state
    assert hint in clock["detail"]


def test_unreachable_issuer_fails(doctor, issuer):
    issuer.close()
    ended = doctor("--json")
    assert states(ended)["issuer acme"] == "failed"
    assert ended.code == 1


@pytest.mark.sec(61)
@pytest.mark.parametrize(
    ("accounts", "who"),
    [("false", "service clients"), ("true", "built-in accounts and service clients")],
)
def test_installation_without_issuers_says_who_gets_tokens(doctor, tokensvc, accounts, who):
    tokensvc.settings |= {"TOKENSVC_ISSUERS": "[]", "TOKENSVC_ACCOUNTS__ENABLED": accounts}
    ended = doctor("--json")
    details = {result["check"]: result["detail"] for result in ended.json}
    assert details["issuers"] == f"none: only {who} get tokens"


def test_all_invalid_settings_are_reported(doctor):
    ended = doctor(TOKENSVC_PUBLIC_URL="http://x.example", TOKENSVC_TOKEN__TTL="1", TOKENSVC_X="1")
    assert ended.code == 1
    for name in ("TOKENSVC_PUBLIC_URL", "TOKENSVC_TOKEN__TTL", "TOKENSVC_X"):
        assert name in ended.out


def test_empty_postgresql_fails_until_migrate(doctor, tokensvc, postgres_url):
    settings = {
        "TOKENSVC_DATABASE_URL": postgres_url,
        "TOKENSVC_ENCRYPTION_KEYS": json.dumps(["MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="]),
    }
    ended = doctor(**settings)
    assert ended.code == 1
    assert "tokensvc migrate" in ended.out
    assert tokensvc("migrate", **settings).code == 0
    ended = doctor(**settings, TOKENSVC_WORKERS="5")
    assert ended.code == 0
    assert "warn  connections: plan 115 for each instance, of 97" in ended.out


def test_valid_token_passes_each_check_and_shows_the_user_id(doctor, issuer):
    ended = doctor("--token", issuer.token(sub="john"), "--json")
    assert ended.code == 0
    assert {result["state"] for result in ended.json} == {"ok"}
    assert ended.json[-1] == {"check": "user id", "state": "ok", "detail": "john"}


def test_invalid_token_fails_with_the_names_of_settings(doctor, issuer):
    token = issuer.token(sub="auth0|7", aud="other", exp=int(time.time()) - 60)
    ended = doctor("--token", "-", stdin=token)
    assert ended.code == 1
    failed = [line for line in ended.out.splitlines() if line.startswith("FAIL")]
    for setting in ("audience", "user_id_mapping"):
        assert any(setting in line for line in failed), setting
    assert token not in ended.out + ended.err
