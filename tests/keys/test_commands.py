"""`tokensvc stream-keys` and `tokensvc keys`, as an operator runs them."""

import os
import pwd

import pytest
import urllib3

from testing.doubles.stream import StreamDouble
from testing.service import STREAM_API_KEY, STREAM_API_SECRET, running_service
from tests.cli.conftest import Tokensvc
from tokensvc.cli.actions import operator
from tokensvc.keys.vault import Vault

SECRET = "another-secret-of-streams-dashboard-0123"
FIRST = Vault.generate_key()
NEXT = Vault.generate_key()


@pytest.fixture
def tokensvc(tmp_path):
    """Give the command on a ring that the settings have seeded."""
    run = Tokensvc(tmp_path)
    assert run("token", "mint", "john").code == 0
    return run


def listed(tokensvc, **settings):
    """Give the states by API key, newest first."""
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
def test_keys_are_changed_from_the_command_line(tokensvc):
    """Add, rehearse, activate, retire; the trail names the operator and the reason."""
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
    (former,) = [
        key["id"]
        for key in tokensvc("stream-keys", "list", "--json").json
        if key["api_key"] == STREAM_API_KEY
    ]
    retired = tokensvc("stream-keys", "retire", former)
    assert retired.code == 0
    assert "dashboard" in retired.err
    assert listed(tokensvc) == [("k2", "active"), (STREAM_API_KEY, "retired")]
    assert tokensvc("token", "mint", "john", "--json").json["api_key"] == "k2"


@pytest.mark.sec(25)
def test_a_secret_comes_from_stdin_and_is_shown_nowhere(tokensvc, tmp_path):
    """Neither what is printed nor the database has it; nothing on stdin is a wrong call."""
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


def test_stream_proves_a_pair(tokensvc):
    """With --check a refused pair is not stored, and the refusal says where to look."""
    with StreamDouble({STREAM_API_KEY: STREAM_API_SECRET, "k2": SECRET}) as stream:
        at = {"STREAM_BASE_URL": stream.url}
        put(tokensvc, "k2", SECRET, "--check", **at)
        refused = tokensvc("stream-keys", "add", "k3", "--check", stdin=SECRET, **at)
    assert refused.code == 1
    assert "dashboard" in refused.err
    assert listed(tokensvc) == [("k2", "standby"), (STREAM_API_KEY, "active")]


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "told"),
    [
        (("add", "k2"), "short", 1, "32 bytes"),
        (("add", STREAM_API_KEY), STREAM_API_SECRET, 1, "very pair"),
        (("activate", "key_unknown"), "", 1, "no such Stream key"),
        (("retire", "key_unknown"), "", 1, "no such Stream key"),
        (("activate",), "", 2, "KEY_ID"),
        (("retire", "key_unknown", "--reason", "x" * 501), "", 2, "--reason"),
    ],
)
def test_a_wrong_command_says_what_to_do(tokensvc, arguments, stdin, code, told):
    """Wrong usage ends with 2, an act that cannot be done with 1."""
    ended = tokensvc("stream-keys", *arguments, stdin=stdin)
    assert ended.code == code
    assert told in ended.err
    assert "Traceback" not in ended.err


def test_a_conflict_of_the_settings_is_mended_by_the_command_that_its_error_names(tokensvc):
    """The dashboard made a new secret, the settings have it, the ring does not: two commands."""
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


def test_a_ring_without_an_active_key_says_which_command_makes_one(tmp_path):
    """Keys that were added before the first start do not sign by themselves."""
    tokensvc = Tokensvc(tmp_path)
    key_id = put(tokensvc, "k2")
    stopped = tokensvc("token", "mint", "john")
    assert stopped.code == 1
    assert "`tokensvc stream-keys activate`" in stopped.err
    assert tokensvc("stream-keys", "activate", key_id).code == 0
    assert tokensvc("token", "mint", "john", "--json").json["api_key"] == "k2"


def test_encryption_keys_are_changed_in_four_steps(tmp_path):
    """Last, first, reencrypt, dropped; what is left under another key is told, and ends with 1."""
    tokensvc = Tokensvc(tmp_path)

    def with_keys(*keys):
        return {"TOKENSVC_ENCRYPTION_KEYS": "[{}]".format(", ".join(f'"{key}"' for key in keys))}

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
    assert f"2 rows would be left, under one of {missing}" in rehearsed.out
    would = tokensvc("keys", "reencrypt", "--dry-run", **with_keys(NEXT, FIRST))
    assert would.code == 0
    assert "2 rows would be wrapped anew" in would.out
    assert "2 looked at, 2 would be wrapped anew" in would.err
    done = tokensvc("keys", "reencrypt", **with_keys(NEXT, FIRST))
    assert done.code == 0
    assert "2 rows wrapped anew" in done.out
    assert "can be dropped" in done.out
    again = tokensvc("keys", "reencrypt", "--json", **with_keys(NEXT, FIRST))
    assert (again.code, again.json["rewrapped"]) == (0, 0)
    assert tokensvc("token", "mint", "john", **with_keys(NEXT)).code == 0


def test_mints_that_name_no_key_are_told_before_a_switch(tokensvc, tmp_path):
    """What a running service has counted stands in the rehearsal, with what it means."""
    secret = "a-secret-of-the-backend-0123456789abcdef"
    made = ("clients", "create", "backend", "--scope", "tokens:mint", "--vouches")
    assert tokensvc(*made, "--secret-stdin", stdin=secret).code == 0
    headers = urllib3.make_headers(basic_auth=f"svc.backend:{secret}")
    with running_service(tmp_path) as service:
        for body in ({}, {}, {"api_key": STREAM_API_KEY}, {}):
            answer = urllib3.request(
                "POST",
                f"{service.base_url}/v1/token",
                headers=headers,
                json={"user_id": "john", **body},
            )
            assert answer.status == 200
    key_id = put(tokensvc, "k2")
    would = tokensvc("stream-keys", "activate", key_id, "--dry-run", "--json").json
    assert would["unnamed_mints"] == 3
    assert "code 43" in would["warning"]
    told = tokensvc("stream-keys", "activate", key_id)
    assert "code 43" in told.err


def test_an_operator_without_a_name_is_named_by_number(monkeypatch):
    """A container's user need not be in any list of users."""
    monkeypatch.setattr("getpass.getuser", lambda: pwd.getpwuid(2**31 - 2))
    assert operator() == f"cli:uid-{os.getuid()}"
