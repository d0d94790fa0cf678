"""`tokensvc user-id`: converts a provider's subject to a user ID, and back."""

import json
import os
import pty
import re

import pytest

from testing.command_line import SCRIPT, read_terminal
from testing.service import settings_environ
from testing.warm_start import Program

ISSUERS = [
    {"preset": "auth0:tenant.eu", "name": "auth0", "audience": "chat", "user_id_prefix": "a-"},
    {"preset": "keycloak:id.acme.example/app", "audience": "chat", "user_id_prefix": "k-"},
    {
        "name": "old",
        "issuer": "https://old.acme.example",
        "audience": "chat",
        "jwks_uri": "https://old.acme.example/jwks.json",
        "user_id_mapping": "hash",
        "user_id_prefix": "o-",
    },
]


@pytest.fixture
def user_id(tokensvc):
    tokensvc.settings["TOKENSVC_ISSUERS"] = json.dumps(ISSUERS)
    return lambda *arguments, **more: tokensvc("user-id", *arguments, **more)


@pytest.mark.sec(13)
def test_decode_reverses_encode_with_escape_mapping(user_id):
    encoded = user_id("encode", "--issuer", "auth0", "auth0|5f7C")
    assert (encoded.code, encoded.out) == (0, "a-auth0_7c5f7_43\n")
    decoded = user_id("decode", encoded.out.strip())
    assert (decoded.code, decoded.out) == (0, "a-auth0_7c5f7_43  auth0: auth0|5f7C\n")


def test_decode_of_hashed_subject_fails(user_id):
    encoded = user_id("encode", "--issuer", "old", "auth0|5f7C", "--json")
    assert encoded.json["user_id"].startswith("o-")
    decoded = user_id("decode", encoded.json["user_id"])
    assert decoded.code == 1
    assert "cannot be reversed" in decoded.out + decoded.err


def test_decoded_subject_cannot_control_the_terminal(user_id):
    decoded = user_id("decode", "a-_1b_5b2_4a")
    assert (decoded.code, decoded.out) == (0, "a-_1b_5b2_4a  auth0: \\x1b[2J\n")


def lines(ended):
    return [json.loads(line) for line in ended.out.splitlines()]


def test_many_subjects_are_encoded_in_order(user_id):
    """From arguments, and where `-` is from the lines of standard input."""
    encode = ("encode", "--issuer", "auth0", "auth0|1", "-", "last")
    stdin = "auth0|2\r\n-\nauth0|3"
    many = user_id(*encode, stdin=stdin)
    expected = ["a-auth0_7c1", "a-auth0_7c2", "a--", "a-auth0_7c3", "a-last"]
    assert (many.code, many.out.splitlines(), many.err) == (0, expected, "")
    as_json = lines(user_id(*encode, "--json", stdin=stdin))
    assert [line["user_id"] for line in as_json] == expected
    assert as_json[1] == {
        "user_id": "a-auth0_7c2",
        "issuer": "auth0",
        "subject": "auth0|2",
        "error": None,
    }


def test_subject_without_a_user_id_leaves_its_line_empty(user_id):
    """So that line N stays the ID of subject N: otherwise everyone after it gets another's ID."""
    stdin = b"john\n\nJohn\n\xff\njane\n".decode("utf-8", "surrogateescape")
    encode = ("encode", "--issuer", "keycloak", "-")
    ended = user_id(*encode, stdin=stdin)
    assert (ended.code, ended.out) == (1, "k-john\n\n\n\nk-jane\n")
    assert '"": ' in ended.err
    assert "John: A user ID is" in ended.err
    assert "\\udcff" in ended.err
    assert "3 of 5 subjects cannot be converted." in ended.err
    as_json = lines(user_id(*encode, "--json", stdin=stdin))
    assert [line["user_id"] for line in as_json] == ["k-john", None, None, None, "k-jane"]
    assert [line["error"] is None for line in as_json] == [True, False, False, False, True]


def test_many_user_ids_are_decoded(user_id):
    stdin = "a-auth0_7c2\nx-john\n"
    ended = user_id("decode", "a-auth0_7c1", "-", "John", stdin=stdin)
    assert ended.code == 1
    assert ended.out == "a-auth0_7c1  auth0: auth0|1\na-auth0_7c2  auth0: auth0|2\n"
    assert "x-john does not begin with the prefix of any issuer." in ended.err
    assert "John: A user ID is" in ended.err
    assert "2 of 4 user IDs cannot be converted." in ended.err
    as_json = lines(user_id("decode", "-", "--json", stdin=stdin))
    assert as_json[0] == {
        "user_id": "a-auth0_7c2",
        "candidates": [{"issuer": "auth0", "subject": "auth0|2", "note": ""}],
        "error": None,
    }
    assert (as_json[1]["candidates"], bool(as_json[1]["error"])) == ([], True)


def test_progress_is_shown_on_a_terminal_only(user_id, tokensvc):
    """Not among the output, and not in a log."""
    terminal, end = pty.openpty()
    subjects = "".join(f"u{number}\n" for number in range(2500))
    command = [SCRIPT, "user-id", "encode", "--issuer", "auth0", "-"]
    environ = settings_environ(tokensvc.folder, **tokensvc.settings)
    (tokensvc.folder / "subjects").write_text(subjects)
    with (tokensvc.folder / "subjects").open() as given, (tokensvc.folder / "ids").open("w") as ids:
        files = {"stdin": given.fileno(), "stdout": ids.fileno(), "stderr": end}
        assert Program(command, cwd=tokensvc.folder, env=environ, **files).wait(30) == 0
    os.close(end)
    assert len((tokensvc.folder / "ids").read_text().splitlines()) == 2500
    shown = read_terminal(terminal)
    assert [int(number) for number in re.findall(r"(\d+) subjects", shown)] == [1000, 2000, 2500]
    assert user_id("encode", "--issuer", "auth0", "-", stdin=subjects).err == ""


@pytest.mark.parametrize(
    ("arguments", "code", "hint"),
    [
        (("encode", "--issuer", "acme", "john"), 2, "auth0, keycloak, old"),
        (("encode", "--issuer", "keycloak", "John|7"), 1, "'k-_4aohn_7c7'"),
        (("decode", "John"), 1, "a-z 0-9"),
        (("decode", "x-john"), 1, "prefix of any issuer"),
        (("decode", "a-_zz"), 1, "cannot be converted"),
    ],
)
def test_impossible_conversion_fails_with_a_hint(user_id, arguments, code, hint):
    ended = user_id(*arguments)
    assert ended.code == code
    assert hint in ended.err
