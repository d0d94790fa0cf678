"""`tokensvc clients`: a backend's credentials from the first to the last, seen from HTTP."""

import getpass

import pytest
import urllib3

from testing.service import running_service
from tokensvc.audit import store as audit_store
from tokensvc.database.engine import Database


def mint_status(service, client_id, secret):
    """Ask for a token with client credentials and give the status."""
    answer = urllib3.request(
        "POST",
        f"{service.base_url}/v1/token",
        headers=urllib3.make_headers(basic_auth=f"{client_id}:{secret}"),
        json={"user_id": "john"},
    )
    return answer.status


@pytest.mark.sec(47)
def test_a_client_rotates_without_a_gap_and_ends_at_once(tokensvc, tmp_path):
    """A running service takes a new client, both secrets of a rotation, none that is deleted."""
    with running_service(tmp_path) as service:
        made = tokensvc("clients", "create", "backend", "--scope", "tokens:mint", "--json").json
        first = made["secret"]
        assert mint_status(service, made["id"], first) == 200

        rotated = tokensvc("clients", "rotate", made["id"], "--json").json
        second = rotated["secret"]
        assert mint_status(service, made["id"], first) == 200
        assert mint_status(service, made["id"], second) == 200

        (listed,) = tokensvc("clients", "list", "--json").json
        (older,) = [secret["id"] for secret in listed["secrets"] if secret["id"] != rotated["id"]]
        assert tokensvc("clients", "delete", made["id"], "--secret", older).code == 0
        assert mint_status(service, made["id"], first) == 401
        assert mint_status(service, made["id"], second) == 200

        assert tokensvc("clients", "delete", made["id"]).code == 0
        assert mint_status(service, made["id"], second) == 401


@pytest.mark.sec(47)
def test_a_secret_is_shown_once_and_stored_nowhere(tokensvc, tmp_path):
    """The secret is printed when it is made; neither the list nor the database has it."""
    made = tokensvc("clients", "create", "backend", "--scope", "tokens:mint")
    (secret,) = [word for word in made.out.split() if word.startswith("tks_")]
    for arguments in (("clients", "list"), ("clients", "list", "--json")):
        listed = tokensvc(*arguments)
        assert "svc.backend" in listed.out
        assert secret not in listed.out + listed.err
    for file in tmp_path.glob("tokensvc.db*"):
        assert secret.encode() not in file.read_bytes()


def test_a_secret_store_brings_its_own_secret(tokensvc, tmp_path):
    """A secret from stdin is taken, is not printed, and the same command may run again."""
    secret = "a-secret-of-the-secret-store-0123456789"
    arguments = ("clients", "create", "backend", "--scope", "tokens:mint", "--secret-stdin")
    for expected in ("Made a client", "there already"):
        ended = tokensvc(*arguments, "--if-absent", stdin=f"{secret}\n")
        assert ended.code == 0
        assert expected in ended.out
        assert secret not in ended.out + ended.err
    with running_service(tmp_path) as service:
        assert mint_status(service, "svc.backend", secret) == 200
    assert tokensvc(*arguments, "--if-absent", stdin="x" * 40).code == 1


def test_a_client_that_is_there_with_other_rights_is_told(tokensvc):
    """What a deployment asked for and did not get is named; the client stays as it is."""
    create = ("clients", "create", "backend", "--if-absent", "--scope")
    assert tokensvc(*create, "tokens:mint").err == ""
    assert tokensvc(*create, "tokens:mint").err == ""
    for format_ in ((), ("--json",)):
        other = tokensvc(*create, "users:read", "--vouches", *format_)
        assert other.code == 0
        assert "scopes: +users:read -tokens:mint; vouches: yes" in other.err
    (listed,) = tokensvc("clients", "list", "--json").json
    assert (listed["scopes"], listed["vouches"]) == (["tokens:mint"], False)


def test_a_leaked_secret_ends_whatever_the_stream_keys_are_like(tokensvc, tmp_path):
    """Listing and deleting need no key that signs."""
    assert tokensvc("clients", "create", "backend", "--scope", "tokens:mint").code == 0
    (tmp_path / "tokensvc.db.key").unlink()
    assert tokensvc("clients", "rotate", "svc.backend").code == 1
    assert "svc.backend" in tokensvc("clients", "list").out
    ended = tokensvc("clients", "delete", "svc.backend")
    assert ended.code == 0, ended.err


def test_scopes_and_vouching_are_shown(tokensvc):
    """What a client may do is told when it is made, and in the list."""
    scopes = ("--scope", "tokens:mint", "--scope", "users:read")
    made = tokensvc("clients", "create", "backend", *scopes, "--vouches", "--json").json
    assert made["scopes"] == ["tokens:mint", "users:read"]
    assert made["vouches"] is True
    (listed,) = tokensvc("clients", "list", "--json").json
    assert (listed["scopes"], listed["vouches"]) == (made["scopes"], made["vouches"])


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "told"),
    [
        (("create", "backend"), "", 2, "--scope"),
        (("create", "backend", "--scope", "everything"), "", 2, "tokens:mint"),
        (("create", "b", "--scope", "users:read", "--secret-stdin"), "short", 1, "32 to"),
        (("delete", "svc.nobody"), "", 1, "clients list"),
        (("delete", "svc.nobody", "--reason", "x" * 501), "", 2, "--reason"),
        (("delete", "svc.nobody", "--reason", b"\xff"), "", 2, "not UTF-8"),
    ],
)
def test_a_wrong_command_says_what_to_do(tokensvc, arguments, stdin, code, told):
    """Wrong usage ends with 2, an act that cannot be done with 1; the text says what would do."""
    ended = tokensvc("clients", *arguments, stdin=stdin)
    assert ended.code == code
    assert told in ended.err
    assert "Traceback" not in ended.err


def test_a_third_secret_is_refused_by_name(tokensvc):
    """A client has two live secrets at most; the refusal names both."""
    tokensvc("clients", "create", "backend", "--scope", "tokens:mint")
    tokensvc("clients", "rotate", "svc.backend")
    (listed,) = tokensvc("clients", "list", "--json").json
    ended = tokensvc("clients", "rotate", "svc.backend")
    assert ended.code == 1
    assert all(secret["id"] in ended.err for secret in listed["secrets"])


def test_a_secret_may_be_given_an_end(tokensvc):
    """A second secret expires when the operator says, and never if they do not."""
    tokensvc("clients", "create", "backend", "--scope", "tokens:mint")
    added = tokensvc("clients", "rotate", "svc.backend", "--expires-in", "86400", "--json").json
    (listed,) = tokensvc("clients", "list", "--json").json
    ends = {
        secret["id"]: (secret["created_at"], secret["expires_at"]) for secret in listed["secrets"]
    }
    made, end = ends.pop(added["id"])
    assert end == added["expires_at"]
    assert made + 86_398 <= end <= made + 86_400
    assert [end for _, end in ends.values()] == [None]


@pytest.mark.sec(59)
def test_the_trail_names_the_operator(tokensvc, tmp_path):
    """Each change says who at the command line made it, and why; what changed nothing is silent."""
    tokensvc("clients", "create", "backend", "--scope", "tokens:mint", "--reason", "a new shop")
    tokensvc("clients", "create", "backend", "--scope", "tokens:mint", "--if-absent")
    added = tokensvc("clients", "rotate", "svc.backend", "--json").json
    tokensvc("clients", "delete", "svc.backend", "--secret", added["id"], "--reason", "leaked")
    tokensvc("clients", "delete", "svc.backend")
    tokensvc("clients", "delete", "svc.backend")

    database = Database.open(f"sqlite:///{tmp_path / 'tokensvc.db'}", pool_size=1)
    by_operators = {"subject": "svc.backend", "actor": f"cli:{getpass.getuser()}"}
    with database.read() as connection:
        events = audit_store.page(connection, after=None, limit=100, filters=by_operators)[::-1]
    database.close()
    assert [event.action for event in events] == [
        "client:created",
        "client_secret:added",
        "client_secret:deleted",
        "client:deleted",
    ]
    assert events[0].reason.endswith("; reason: a new shop")
    assert events[2].reason == f"secret: {added['id']}; reason: leaked"
    assert [event.request_id for event in events] == [None] * 4


def test_a_client_without_a_secret_is_listed(tokensvc):
    """So that an operator sees that it is there, and that nobody can use it."""
    made = tokensvc("clients", "create", "backend", "--scope", "tokens:mint", "--json").json
    assert [secret["last_used_at"] for secret in made["secrets"]] == [None]
    tokensvc("clients", "delete", "svc.backend", "--secret", made["secrets"][0]["id"])
    (row,) = [line for line in tokensvc("clients", "list").out.splitlines() if "svc." in line]
    assert "none" in row
    (listed,) = tokensvc("clients", "list", "--json").json
    assert listed["secrets"] == []
