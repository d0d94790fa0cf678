"""`tokensvc clients`: the credentials of a backend, as a running service sees them."""

import json

import pytest
import urllib3

from testing.service import running_service
from testing.service_clients import rights
from tokensvc.audit import store as audit_store
from tokensvc.cli.actions import operator
from tokensvc.clients import store
from tokensvc.database.engine import Database


def mint_status(service, client_id, secret):
    """Return the status of a token request with client credentials."""
    response = urllib3.request(
        "POST",
        f"{service.base_url}/v1/token",
        headers=urllib3.make_headers(basic_auth=f"{client_id}:{secret}"),
        json={"user_id": "john"},
    )
    return response.status


@pytest.mark.sec(47)
def test_rotation_has_no_gap_and_deletion_is_immediate(tokensvc, tmp_path):
    with running_service(tmp_path) as service:
        created = tokensvc("clients", "create", "backend", "--scope", "tokens:mint", "--json").json
        first = created["secret"]
        assert mint_status(service, created["id"], first) == 200

        rotated = tokensvc("clients", "rotate", created["id"], "--json").json
        second = rotated["secret"]
        assert mint_status(service, created["id"], first) == 200
        assert mint_status(service, created["id"], second) == 200

        (listed,) = tokensvc("clients", "list", "--json").json
        (older,) = [secret["id"] for secret in listed["secrets"] if secret["id"] != rotated["id"]]
        assert tokensvc("clients", "delete", created["id"], "--secret", older).code == 0
        assert mint_status(service, created["id"], first) == 401
        assert mint_status(service, created["id"], second) == 200

        assert tokensvc("clients", "delete", created["id"]).code == 0
        assert mint_status(service, created["id"], second) == 401


@pytest.mark.sec(47)
def test_secret_is_printed_once_and_not_stored(tokensvc, tmp_path):
    created = tokensvc("clients", "create", "backend", "--scope", "tokens:mint")
    (secret,) = [word for word in created.out.split() if word.startswith("tks_")]
    for arguments in (("clients", "list"), ("clients", "list", "--json")):
        listed = tokensvc(*arguments)
        assert "svc.backend" in listed.out
        assert secret not in listed.out + listed.err
    for file in tmp_path.glob("tokensvc.db*"):
        assert secret.encode() not in file.read_bytes()


def test_secret_from_stdin_is_used_and_not_printed(tokensvc, tmp_path):
    """The same command can be run again."""
    secret = "a-secret-of-the-secret-store-0123456789"
    arguments = ("clients", "create", "backend", "--scope", "tokens:mint", "--secret-stdin")
    for expected in ("Created a client", "already exists"):
        ended = tokensvc(*arguments, "--if-absent", stdin=f"{secret}\n")
        assert ended.code == 0
        assert expected in ended.out
        assert secret not in ended.out + ended.err
    with running_service(tmp_path) as service:
        assert mint_status(service, "svc.backend", secret) == 200
    other = tokensvc(*arguments, "--if-absent", stdin="x" * 40)
    assert other.code == 1
    assert "with another secret" in other.err


def test_if_absent_names_other_rights_of_the_existing_client(tokensvc):
    create = ("clients", "create", "backend", "--if-absent", "--scope")
    assert tokensvc(*create, "tokens:mint").err == ""
    assert tokensvc(*create, "tokens:mint").err == ""
    for format_ in ((), ("--json",)):
        other = tokensvc(*create, "users:read", "--vouches", *format_)
        assert other.code == 0
        (line,) = other.err.splitlines()
        change = line.partition("tokensvc ")[2].split()
        expected = "clients update svc.backend --add-scope users:read --remove-scope tokens:mint"
        assert change == [*expected.split(), "--vouches"]
    (listed,) = tokensvc("clients", "list", "--json").json
    assert (listed["scopes"], listed["vouches"]) == (["tokens:mint"], False)
    assert len(listed["secrets"]) == 1
    assert tokensvc(*change).code == 0
    assert tokensvc(*create, "users:read", "--vouches").err == ""


@pytest.mark.sec(59)
def test_update_changes_only_the_given_rights(tokensvc):
    """A repetition changes nothing and leaves no event."""
    tokensvc("clients", "create", "backend", "--scope", "users:write", "--scope", "users:read")
    update = ("clients", "update", "svc.backend")
    change = ("--add-scope", "users:roles", "--add-scope", "audit:read", "--vouches")
    for _ in range(2):
        changed = tokensvc(*update, *change, "--remove-scope", "users:read", "--reason", "teams")
        assert changed.code == 0, changed.err
        assert "audit:read users:roles users:write" in changed.out
    (listed,) = tokensvc("clients", "list", "--json").json
    assert listed["scopes"] == ["audit:read", "users:roles", "users:write"]
    assert listed["vouches"] is True
    assert tokensvc(*update, "--no-vouches", "--json").json == listed | {"vouches": False}
    audited = tokensvc("audit", "--json", "--action", "client:changed").out.splitlines()
    vouching, first = (json.loads(line) for line in audited)
    rights = {"scopes": ["audit:read", "users:roles", "users:write"], "vouches_changed": True}
    assert (vouching["reason"], vouching["details"]) == (None, rights | {"vouches": False})
    scopes = {"granted": ["audit:read", "users:roles"], "withdrawn": ["users:read"]}
    assert (first["reason"], first["details"]) == ("teams", rights | scopes | {"vouches": True})
    printed = tokensvc("audit", "--action", "client:changed", "--limit", "1").out
    shown = "  scopes audit:read,users:roles,users:write  vouches no  vouches_changed yes\n"
    assert printed.endswith(shown)


def test_update_keeps_a_scope_of_a_newer_release(tokensvc, tmp_path):
    tokensvc("clients", "create", "backend", "--scope", "users:read")
    database = Database.open(f"sqlite:///{tmp_path / 'tokensvc.db'}", pool_size=1)
    with database.write() as tx:
        store.change(tx, "svc.backend", rights("users:read", "new:scope"))
    database.close()
    changed = tokensvc("clients", "update", "svc.backend", "--remove-scope", "users:read", "--json")
    assert changed.json["scopes"] == ["new:scope"]


def test_name_of_a_client_cannot_look_like_other_columns(tokensvc):
    tokensvc("clients", "create", "shop  keys:write", "--scope", "users:read")
    assert '"shop  keys:write"  users:read' in tokensvc("clients", "list").out


def test_list_and_delete_work_without_readable_stream_keys(tokensvc, tmp_path):
    assert tokensvc("clients", "create", "backend", "--scope", "tokens:mint").code == 0
    (tmp_path / "tokensvc.db.key").unlink()
    assert tokensvc("clients", "rotate", "svc.backend").code == 1
    assert "svc.backend" in tokensvc("clients", "list").out
    ended = tokensvc("clients", "delete", "svc.backend")
    assert ended.code == 0, ended.err


def test_scopes_and_vouching_are_printed(tokensvc):
    scopes = ("--scope", "tokens:mint", "--scope", "users:read")
    created = tokensvc("clients", "create", "backend", *scopes, "--vouches", "--json").json
    assert created["scopes"] == ["tokens:mint", "users:read"]
    assert created["vouches"] is True
    (listed,) = tokensvc("clients", "list", "--json").json
    assert (listed["scopes"], listed["vouches"]) == (created["scopes"], created["vouches"])


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "expected"),
    [
        (("create", "backend"), "", 2, "--scope"),
        (("create", "backend", "--scope", "everything"), "", 2, "tokens:mint"),
        (("create", "", "--scope", "users:read"), "", 1, "name is 1 to 100"),
        (("create", "x" * 101, "--scope", "users:read"), "", 1, "name is 1 to 100"),
        (("create", "a\nb", "--scope", "users:read"), "", 1, "name is 1 to 100"),
        (("create", "b", "--scope", "users:read", "--secret-stdin"), "short", 1, "32 to"),
        (("update", "svc.unknown", "--vouches"), "", 1, "clients list"),
        (("update", "svc.first"), "", 2, "--add-scope"),
        (("update", "svc.first", "--add-scope", "everything"), "", 2, "tokens:mint"),
        (("update", "svc.first", "--remove-scope", "users:read"), "", 1, "needs a scope"),
        (
            ("update", "svc.first", *("--add-scope", "app:write", "--remove-scope", "app:write")),
            *("", 2, "app:write"),
        ),
        (("delete", "svc.unknown"), "", 1, "clients list"),
        (("delete", "svc.unknown", "--reason", "x" * 501), "", 2, "--reason"),
        (("delete", "svc.unknown", "--reason", b"\xff"), "", 2, "not UTF-8"),
    ],
)
def test_invalid_command_says_what_to_do(tokensvc, arguments, stdin, code, expected):
    """Wrong usage ends with status 2, a refused action with status 1."""
    tokensvc("clients", "create", "first", "--scope", "users:read")
    ended = tokensvc("clients", *arguments, stdin=stdin)
    assert ended.code == code
    assert expected in ended.err
    assert "Traceback" not in ended.err


def test_secret_expires_only_if_requested(tokensvc):
    tokensvc("clients", "create", "backend", "--scope", "tokens:mint")
    added = tokensvc("clients", "rotate", "svc.backend", "--expires-in", "86400", "--json").json
    (listed,) = tokensvc("clients", "list", "--json").json
    ends = {
        secret["id"]: (secret["created_at"], secret["expires_at"]) for secret in listed["secrets"]
    }
    created, end = ends.pop(added["id"])
    assert end == added["expires_at"]
    assert created + 86_398 <= end <= created + 86_400
    assert [end for _, end in ends.values()] == [None]


@pytest.mark.sec(59)
def test_audit_event_names_the_operator(tokensvc, tmp_path):
    """A command that changes nothing leaves no event."""
    tokensvc("clients", "create", "backend", "--scope", "tokens:mint", "--reason", "a new shop")
    tokensvc("clients", "create", "backend", "--scope", "tokens:mint", "--if-absent")
    added = tokensvc("clients", "rotate", "svc.backend", "--json").json
    tokensvc("clients", "delete", "svc.backend", "--secret", added["id"], "--reason", "leaked")
    tokensvc("clients", "delete", "svc.backend")
    tokensvc("clients", "delete", "svc.backend")

    database = Database.open(f"sqlite:///{tmp_path / 'tokensvc.db'}", pool_size=1)
    by_operators = {"subject": "svc.backend", "actor": operator()}
    with database.read() as connection:
        events = audit_store.page(connection, after=None, limit=100, filters=by_operators)[::-1]
    database.close()
    assert [event.action for event in events] == [
        "client:created",
        "client_secret:added",
        "client_secret:deleted",
        "client:deleted",
    ]
    assert events[0].reason == "a new shop"
    assert (events[2].reason, events[2].details) == ("leaked", {"secret": added["id"]})
    assert [event.request_id for event in events] == [None] * 4


def test_client_without_secrets_is_listed(tokensvc):
    created = tokensvc("clients", "create", "backend", "--scope", "tokens:mint", "--json").json
    assert [secret["last_used_at"] for secret in created["secrets"]] == [None]
    tokensvc("clients", "delete", "svc.backend", "--secret", created["secrets"][0]["id"])
    (row,) = [line for line in tokensvc("clients", "list").out.splitlines() if "svc." in line]
    assert "none" in row
    (listed,) = tokensvc("clients", "list", "--json").json
    assert listed["secrets"] == []
