"""`tokensvc clients`: a backend's credentials from the first to the last, seen from HTTP."""

import pytest
import urllib3

from tests.live import running_service


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
