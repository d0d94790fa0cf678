"""Recovery from secrets in the database that are unreadable."""

import json

import pytest

from testing.service import STREAM_API_KEY, STREAM_API_SECRET, free_port
from tests.cli.conftest import Tokensvc
from tokensvc.vault.vault import Vault

SECRET = "another-secret-of-streams-dashboard-0123"
LOST = "--without-lost-keys"
REENCRYPTED = "secrets:reencrypted"


class Command(Tokensvc):
    """
    A command with a key file.

    Attributes:
        key: Content of the file before it is lost.
    """

    key = ""

    @property
    def key_file(self):
        return self.folder / "tokensvc.db.key"


@pytest.fixture
def tokensvc(tmp_path):
    """Return the command on a ring with the key of the settings and a standby key."""
    run = Command(tmp_path)
    assert run("migrate").code == 0
    assert run("token", "mint", "john").code == 0
    assert run("stream-keys", "add", "k2", stdin=SECRET).code == 0
    run.key = run.key_file.read_text()
    return run


@pytest.fixture
def lost(tokensvc):
    """Return the command after the file of the encryption key was deleted."""
    tokensvc.key_file.unlink()
    return tokensvc


@pytest.fixture
def fingerprint(tokensvc):
    """Return the fingerprint of the encryption key."""
    (fingerprint,) = Vault([tokensvc.key.strip()]).fingerprints
    return fingerprint


def keys_of(tokensvc):
    """Return (ID, state) of the newest row by API key."""
    found = tokensvc("stream-keys", "list", "--json").json
    return {key["api_key"]: (key["id"], key["state"]) for key in reversed(found)}


@pytest.mark.sec(61)
def test_missing_encryption_key_is_named_with_the_two_ways_out_and_not_replaced(lost, fingerprint):
    """Neither by a start, nor by a command."""
    before = keys_of(lost)
    started = lost.process("serve", TOKENSVC_BIND=f"127.0.0.1:{free_port()}")
    ended = [
        lost("stream-keys", *arguments, stdin=STREAM_API_SECRET)
        for arguments in (("add", "k3"), ("add", STREAM_API_KEY), ("activate", before["k2"][0]))
    ]
    for stopped in (started, *ended, lost("token", "mint", "john"), lost("keys", "reencrypt")):
        assert stopped.code == 1
        for text in (fingerprint, "Restore the key", LOST):
            assert text in stopped.err
    doctor = lost("doctor").out
    for text in (fingerprint, "Restore the key", LOST):
        assert text in doctor
    assert "damaged" not in doctor
    assert keys_of(lost) == before
    assert not lost.key_file.exists()


def test_commands_that_need_no_key_work_without_it(lost):
    """An operator revokes and suspends in an emergency."""
    for arguments in (
        ("users", "suspend", "mallory"),
        ("app", "revoke"),
        ("audit",),
        ("clients", "list"),
        ("stream-keys", "list"),
    ):
        assert lost(*arguments).code == 0
    assert not lost.key_file.exists()


def test_restored_key_file_is_enough(lost):
    lost.key_file.write_text(lost.key)
    assert lost("token", "mint", "john", "--api-key", "k2").code == 0


def test_damaged_key_file_is_named_and_kept(tokensvc):
    tokensvc.key_file.write_text("damaged\n")
    stopped = tokensvc("token", "mint", "john")
    assert stopped.code == 1
    assert str(tokensvc.key_file) in stopped.err
    assert LOST in stopped.err
    assert tokensvc.key_file.read_text() == "damaged\n"


def test_known_secrets_are_restored_under_a_new_encryption_key(lost):
    before = keys_of(lost)
    would = lost("stream-keys", "add", "k2", LOST, "--dry-run", stdin=SECRET)
    assert "Dry run, nothing changed" in would.out
    for api_key, secret in ((STREAM_API_KEY, STREAM_API_SECRET), ("k2", SECRET)):
        assert lost("token", "mint", "john").code == 1
        given = lost("stream-keys", "add", api_key, LOST, "--reason", "disk", stdin=secret)
        assert given.code == 0, given.err
        assert "Restored key" in given.out
        assert before[api_key][0] in given.out
    assert keys_of(lost) == before
    assert lost("token", "mint", "john", "--api-key", "k2").code == 0
    again = lost("stream-keys", "add", "k2", LOST, stdin=SECRET)
    assert (again.code, "already has this Stream key" in again.err) == (1, True)
    events = [json.loads(line) for line in lost("audit", "--json").out.splitlines()]
    reasons = [
        (event["subject"], event["reason"]) for event in events if REENCRYPTED in event.values()
    ]
    assert reasons == [(before["k2"][0], "disk"), (before[STREAM_API_KEY][0], "disk")]


def test_lost_secrets_are_replaced_and_retired(lost):
    before = keys_of(lost)
    refused = lost("stream-keys", "activate", before["k2"][0], LOST)
    assert refused.code == 1
    assert "cannot be decrypted" in refused.err
    assert LOST in refused.err
    added = lost("stream-keys", "add", "k3", LOST, "--json", stdin=SECRET).json
    assert (added["api_key"], added["state"]) == ("k3", "standby")
    assert lost("stream-keys", "activate", added["id"], LOST).code == 0
    for key_id, _ in before.values():
        assert lost("token", "mint", "john").code == 1
        assert lost("stream-keys", "retire", key_id).code == 0
    assert lost("token", "mint", "john", "--json").json["api_key"] == "k3"
