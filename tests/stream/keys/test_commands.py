"""`tokensvc stream-keys` and `tokensvc keys`, as an operator runs them."""

import os

import pytest
import urllib3

from testing.doubles.stream import StreamDouble
from testing.service import STREAM_API_KEY, STREAM_API_SECRET, running_service
from tests.cli.conftest import Tokensvc
from tokensvc.cli.actions import operator
from tokensvc.vault.vault import Vault

SECRET = "another-secret-of-streams-dashboard-0123"
FIRST = Vault.generate_key()
NEXT = Vault.generate_key()


@pytest.fixture
def tokensvc(tmp_path):
    """Return the command on a ring with the key of the settings."""
    run = Tokensvc(tmp_path)
    assert run("migrate").code == 0
    assert run("token", "mint", "john").code == 0
    return run


def listed(tokensvc, **settings):
    """Return (API key, state) of all keys, newest first."""
    keys = tokensvc("stream-keys", "list", "--json", **settings).json
    return [(key["api_key"], key["state"]) for key in keys]


def put(tokensvc, api_key, secret=SECRET, *options, **settings):
    ended = tokensvc(
        "stream-keys", "add", api_key, "--json", *options, stdin=f"{secret}\n", **settings
    )
    assert ended.code == 0, ended.err
    assert "dry_run" not in ended.json
    return ended.json["id"]


@pytest.mark.sec(37)
def test_key_is_added_activated_and_retired(tokensvc):
    """A dry run changes nothing."""
    key_id = put(tokensvc, "k2", SECRET, "--reason", "yearly")
    assert listed(tokensvc) == [("k2", "standby"), (STREAM_API_KEY, "active")]
    would = tokensvc("stream-keys", "add", "k3", "--dry-run", "--json", stdin=SECRET).json
    assert would["dry_run"] is True
    would = tokensvc("stream-keys", "activate", key_id, "--dry-run", "--json").json
    assert (would["dry_run"], would["state"], would["unnamed_mints"]) == (True, "active", 0)
    assert listed(tokensvc) == [("k2", "standby"), (STREAM_API_KEY, "active")]
    done = tokensvc("stream-keys", "activate", key_id)
    assert done.code == 0
    assert "retiring" in done.out
    assert listed(tokensvc) == [("k2", "active"), (STREAM_API_KEY, "retiring")]
    (previous,) = [
        key["id"]
        for key in tokensvc("stream-keys", "list", "--json").json
        if key["api_key"] == STREAM_API_KEY
    ]
    retired = tokensvc("stream-keys", "retire", previous)
    assert retired.code == 0
    assert "dashboard" in retired.err
    assert listed(tokensvc) == [("k2", "active"), (STREAM_API_KEY, "retired")]
    assert tokensvc("token", "mint", "john", "--json").json["api_key"] == "k2"


@pytest.mark.sec(25)
def test_secret_from_stdin_is_not_printed_or_stored(tokensvc, tmp_path):
    ended = tokensvc("stream-keys", "add", "k2", stdin=SECRET)
    assert ended.code == 0
    assert "tokensvc stream-keys activate key_" in ended.out
    for shown in (
        ended,
        tokensvc("stream-keys", "list"),
        tokensvc("stream-keys", "list", "--json"),
    ):
        assert SECRET not in shown.out + shown.err
    for file in tmp_path.glob("tokensvc.db*"):
        assert SECRET.encode() not in file.read_bytes()
    assert tokensvc("stream-keys", "add", "k3").code == 2


@pytest.mark.sec(37)
def test_key_that_stream_rejects_is_neither_added_nor_activated(tokensvc):
    """With `--no-check` it is, with a warning."""
    with StreamDouble({STREAM_API_KEY: STREAM_API_SECRET, "k2": SECRET}) as stream:
        at = {"STREAM_BASE_URL": stream.url, "TOKENSVC_STREAM__DELIVERY": "on"}
        put(tokensvc, "k2", SECRET, **at)
        refused = tokensvc("stream-keys", "add", "k3", stdin=SECRET, **at)
        assert refused.code == 1
        assert "Stream rejects this Stream key" in refused.err
        assert "code 2)" in refused.err
        added = tokensvc("stream-keys", "add", "k3", "--no-check", stdin=SECRET, **at)
        assert "Warning: Not checked" in added.err
        assert listed(tokensvc) == [
            ("k3", "standby"),
            ("k2", "standby"),
            (STREAM_API_KEY, "active"),
        ]
        (key_id,) = [
            key["id"]
            for key in tokensvc("stream-keys", "list", "--json").json
            if key["api_key"] == "k3"
        ]
        refused = tokensvc("stream-keys", "activate", key_id, **at)
        assert (refused.code, "Stream rejects this Stream key" in refused.err) == (1, True)
        activated = tokensvc("stream-keys", "activate", key_id, "--no-check", **at)
        assert (activated.code, "Warning: Not checked" in activated.err) == (0, True)


def test_key_is_not_checked_while_delivery_is_off(tokensvc):
    with StreamDouble({}) as stream:
        added = tokensvc("stream-keys", "add", "k2", stdin=SECRET, STREAM_BASE_URL=stream.url)
        assert (added.code, stream.calls.all()) == (0, [])
    assert "`stream.delivery` is off" in added.err


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "expected"),
    [
        (("add", "k2"), "short", 1, "32 bytes"),
        (("add", STREAM_API_KEY), STREAM_API_SECRET, 1, "already has this Stream key"),
        (("activate", "key_unknown"), "", 1, "does not exist"),
        (("retire", "key_unknown"), "", 1, "does not exist"),
        (("activate",), "", 2, "KEY_ID"),
        (("retire", "key_unknown", "--reason", "x" * 501), "", 2, "--reason"),
    ],
)
def test_invalid_command_says_what_to_do(tokensvc, arguments, stdin, code, expected):
    """Wrong usage ends with status 2, a refused action with status 1."""
    ended = tokensvc("stream-keys", *arguments, stdin=stdin)
    assert ended.code == code
    assert expected in ended.err
    assert "Traceback" not in ended.err


def test_conflict_with_the_settings_is_resolved_by_the_commands_of_its_error(tokensvc):
    """The dashboard regenerated the secret, and the settings have it before the ring."""
    regenerated = {"STREAM_API_SECRET": SECRET}
    stopped = tokensvc("token", "mint", "john", **regenerated)
    assert stopped.code == 1
    assert "`tokensvc stream-keys add`" in stopped.err
    assert "`tokensvc stream-keys activate`" in stopped.err
    assert listed(tokensvc, **regenerated) == [(STREAM_API_KEY, "active")]
    key_id = put(tokensvc, STREAM_API_KEY, SECRET, **regenerated)
    assert tokensvc("stream-keys", "activate", key_id, **regenerated).code == 0
    assert tokensvc("token", "mint", "john", **regenerated).code == 0
    assert listed(tokensvc) == [(STREAM_API_KEY, "active"), (STREAM_API_KEY, "retired")]
    # An instance that still has the old secret in its settings starts too, and uses the new one.
    assert tokensvc("token", "mint", "john").code == 0


def test_start_without_active_key_names_the_command(tmp_path):
    """Keys that were added before the first start are standby."""
    tokensvc = Tokensvc(tmp_path)
    tokensvc("migrate")
    key_id = put(tokensvc, "k2")
    stopped = tokensvc("token", "mint", "john")
    assert stopped.code == 1
    assert "`tokensvc stream-keys activate`" in stopped.err
    assert tokensvc("stream-keys", "activate", key_id).code == 0
    assert tokensvc("token", "mint", "john", "--json").json["api_key"] == "k2"


def test_encryption_keys_are_changed_in_four_steps(tmp_path):
    """Last, first, reencrypt, removed; rows under other keys are named, with status 1."""
    tokensvc = Tokensvc(tmp_path)

    def with_keys(*keys):
        return {"TOKENSVC_ENCRYPTION_KEYS": "[{}]".format(", ".join(f'"{key}"' for key in keys))}

    assert tokensvc("migrate", **with_keys(FIRST)).code == 0
    assert tokensvc("token", "mint", "john", **with_keys(FIRST)).code == 0
    put(tokensvc, "k2", SECRET, **with_keys(FIRST, NEXT))
    dropped = tokensvc("token", "mint", "john", **with_keys(NEXT))
    assert dropped.code == 1
    (missing,) = Vault([FIRST]).fingerprints
    assert missing in dropped.err
    early = tokensvc("keys", "reencrypt", "--json", **with_keys(NEXT))
    assert early.code == 1
    assert early.json == {
        "rewrapped": 0,
        "unreadable": 2,
        "remaining": {missing: 2},
        "dry_run": False,
    }
    rehearsed = tokensvc("keys", "reencrypt", "--dry-run", **with_keys(NEXT))
    assert rehearsed.code == 1
    assert f"2 rows would remain, under one of {missing}" in rehearsed.out
    would = tokensvc("keys", "reencrypt", "--dry-run", **with_keys(NEXT, FIRST))
    assert would.code == 0
    assert "2 rows re-encrypted" in would.out
    done = tokensvc("keys", "reencrypt", **with_keys(NEXT, FIRST))
    assert done.code == 0
    assert "2 rows re-encrypted" in done.out
    assert "can be removed" in done.out
    again = tokensvc("keys", "reencrypt", "--json", **with_keys(NEXT, FIRST))
    assert (again.code, again.json["rewrapped"]) == (0, 0)
    assert tokensvc("token", "mint", "john", **with_keys(NEXT)).code == 0


def test_activation_warns_of_unnamed_mints_of_a_running_service(tokensvc, tmp_path):
    secret = "a-secret-of-the-backend-0123456789abcdef"
    create = ("clients", "create", "backend", "--scope", "tokens:mint", "--vouches")
    assert tokensvc(*create, "--secret-stdin", stdin=secret).code == 0
    headers = urllib3.make_headers(basic_auth=f"svc.backend:{secret}")
    with running_service(tmp_path) as service:
        for body in ({}, {}, {"api_key": STREAM_API_KEY}, {}):
            response = urllib3.request(
                "POST",
                f"{service.base_url}/v1/token",
                headers=headers,
                json={"user_id": "john", **body},
            )
            assert response.status == 200
    key_id = put(tokensvc, "k2")
    would = tokensvc("stream-keys", "activate", key_id, "--dry-run", "--json").json
    assert would["unnamed_mints"] == 3
    assert "code 43" in would["warning"]
    activated = tokensvc("stream-keys", "activate", key_id)
    assert "code 43" in activated.err


def test_operator_without_a_user_name_is_named_by_uid(monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 2)
    assert operator() == f"cli:uid-{2**31 - 2}"
