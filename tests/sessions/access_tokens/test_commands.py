"""`tokensvc signing-keys`, and what a start and `doctor` say about these keys."""

import json

import pytest
import sqlalchemy as sa

from testing.sessions import open_session, sessions_on
from tests.cli.conftest import Tokensvc
from tokensvc.core.clock import system_clock
from tokensvc.database.engine import Database
from tokensvc.sessions.access_tokens.tables import signing_keys
from tokensvc.vault.vault import Vault

ON = {"TOKENSVC_ACCOUNTS__ENABLED": "true"}
FIRST, SECOND = Vault.generate_key(), Vault.generate_key()


def encrypted_with(*keys):
    return {**ON, "TOKENSVC_ENCRYPTION_KEYS": json.dumps(keys)}


@pytest.fixture
def tokensvc(migrated_sqlite_url, tmp_path):
    """Return the command on a database with the first signing key."""
    run = Tokensvc(tmp_path)
    assert run("token", "mint", "john", **encrypted_with(FIRST)).code == 0
    return run


def listed(tokensvc, **settings):
    ended = tokensvc("signing-keys", "list", "--json", **(settings or encrypted_with(FIRST)))
    return {key["id"]: key["state"] for key in ended.json}


@pytest.mark.sec(37)
def test_standby_key_is_made_once_and_can_be_retired(tokensvc):
    settings = encrypted_with(FIRST)
    (first,) = listed(tokensvc)
    would = tokensvc("signing-keys", "rotate", "--dry-run", "--json", **settings).json
    assert (would["state"], would["dry_run"]) == ("standby", True)
    assert listed(tokensvc) == {first: "active"}
    made = tokensvc("signing-keys", "rotate", "--reason", "yearly", **settings)
    assert (made.code, "standby" in made.out, "jwks_max_age" in made.out) == (0, True, True)
    again = tokensvc("signing-keys", "rotate", "--json", **settings).json
    assert listed(tokensvc) == {again["id"]: "standby", first: "active"}
    refused = tokensvc("signing-keys", "retire", first, **settings)
    assert (refused.code, "Rotate first" in refused.err) == (1, True)
    retired = tokensvc("signing-keys", "retire", again["id"], **settings)
    assert (retired.code, "retired" in retired.out) == (0, True)
    shown = tokensvc("signing-keys", "list", **settings).out
    assert first in shown
    assert again["id"] in shown


def test_start_without_the_encryption_key_of_a_signing_key_names_the_way_out(tokensvc, tmp_path):
    """Also if the Stream secret is under another key already."""
    rolled = encrypted_with(SECOND, FIRST)
    assert tokensvc("keys", "reencrypt", **rolled).code == 0
    (first,) = listed(tokensvc, **rolled)
    database = Database.open(f"sqlite:///{tmp_path / 'tokensvc.db'}", pool_size=1)
    ciphertext, lost = Vault([FIRST]).encrypt(b"of another key")
    values = {"secret_ciphertext": ciphertext, "encrypted_with": lost}
    with database.write() as tx:
        tx.execute(sa.update(signing_keys).values(values))
    database.close()
    settings = encrypted_with(SECOND)
    for command in (("token", "mint", "john"), ("doctor",), ("signing-keys", "rotate")):
        ended = tokensvc(*command, **settings)
        assert ended.code == 1
        shown = ended.out + ended.err
        assert lost in shown
        assert "signing-keys rotate --without-lost-keys" in shown
    replaced = tokensvc("signing-keys", "rotate", "--without-lost-keys", **settings)
    assert (replaced.code, "active" in replaced.out) == (0, True)
    assert sorted(listed(tokensvc, **settings).values()) == ["active", "retired"]
    assert listed(tokensvc, **settings)[first] == "retired"
    assert tokensvc("token", "mint", "john", **settings).code == 0


def test_start_names_a_damaged_signing_key_and_its_replacement(tokensvc, tmp_path):
    database = Database.open(f"sqlite:///{tmp_path / 'tokensvc.db'}", pool_size=1)
    with database.write() as tx:
        tx.execute(sa.update(signing_keys).values(secret_ciphertext="damaged"))
    database.close()
    settings = encrypted_with(FIRST)
    (first,) = listed(tokensvc)
    for command in (("token", "mint", "john"), ("doctor",)):
        ended = tokensvc(*command, **settings)
        assert ended.code == 1
        assert first in ended.out + ended.err
    assert tokensvc("signing-keys", "rotate", "--without-lost-keys", **settings).code == 0
    assert tokensvc("token", "mint", "john", **settings).code == 0


def test_reencryption_covers_both_rings_and_sessions(tokensvc, tmp_path):
    database = Database.open(f"sqlite:///{tmp_path / 'tokensvc.db'}", pool_size=1)
    with database.write() as tx:
        sessions = sessions_on(database, system_clock, vault=Vault([FIRST]))
        grant = open_session(tx, sessions)
    assert tokensvc("keys", "reencrypt", "--json", **encrypted_with(SECOND, FIRST)).json == {
        "rewrapped": 3,
        "unreadable": 0,
        "remaining": {},
        "dry_run": False,
    }
    assert tokensvc("token", "mint", "john", **encrypted_with(SECOND)).code == 0
    assert list(listed(tokensvc, **encrypted_with(SECOND)).values()) == ["active"]
    reencrypted = sessions_on(database, system_clock, vault=Vault([SECOND]))
    assert reencrypted.refresh(grant.refresh_token, "app").family.counter == 1
    database.close()


def test_start_refuses_sessions_under_a_lost_key_until_they_are_deleted(tokensvc, tmp_path):
    """Their refreshes would get 503 until the sessions are idle."""
    lost = Vault([Vault.generate_key()])
    database = Database.open(f"sqlite:///{tmp_path / 'tokensvc.db'}", pool_size=1)
    with database.write() as tx:
        for user_id, vault in (("ada", lost), ("ada", lost), ("bob", Vault([FIRST]))):
            sessions = sessions_on(database, system_clock, vault=vault)
            open_session(tx, sessions, user_id)
    settings = encrypted_with(FIRST)
    for command in (("token", "mint", "john"), ("doctor",)):
        ended = tokensvc(*command, **settings)
        assert ended.code == 1
        assert lost.first_fingerprint in ended.out + ended.err
    rotate = ("signing-keys", "rotate", "--without-lost-keys", "--json")
    assert tokensvc(*rotate, "--dry-run", **settings).json["deleted_sessions"] == 2
    assert tokensvc(*rotate, "--reason", "fire", **settings).json["deleted_sessions"] == 2
    assert tokensvc("token", "mint", "john", **settings).code == 0
    with database.read() as connection:
        assert sessions.count_open(connection, ["ada", "bob"]) == {"ada": 0, "bob": 1}
    database.close()
    event = tokensvc("audit", "--action", "session:ended", "--json", **settings).json
    assert event["details"] == {"sessions": 2, "lost_encryption_key": lost.first_fingerprint}
    assert event["reason"] == "fire"
