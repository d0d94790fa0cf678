"""`tokensvc user-id`: an operator finds the Stream id of a provider's subject, and back."""

import json

import pytest

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
def test_an_escaped_subject_comes_back(user_id):
    """What `encode` gives by an issuer's mapping and prefix, `decode` undoes, issuer included."""
    encoded = user_id("encode", "--issuer", "auth0", "auth0|5f7C")
    assert (encoded.code, encoded.out) == (0, "a-auth0_7c5f7_43\n")
    decoded = user_id("decode", encoded.out.strip())
    assert (decoded.code, decoded.out) == (0, "auth0: auth0|5f7C\n")


def test_a_hashed_subject_cannot_come_back(user_id):
    """`decode` says that a hash cannot be undone, instead of giving it back as it is."""
    encoded = user_id("encode", "--issuer", "old", "auth0|5f7C", "--json")
    assert encoded.json["user_id"].startswith("o-")
    decoded = user_id("decode", encoded.json["user_id"])
    assert decoded.code == 1
    assert "cannot be reversed" in decoded.out + decoded.err


def test_a_subject_cannot_steer_the_terminal(user_id):
    """A decoded subject is foreign text and is written as such."""
    decoded = user_id("decode", "a-_1b_5b2_4a")
    assert (decoded.code, decoded.out) == (0, "auth0: \\x1b[2J\n")


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("encode", "--issuer", "acme", "john"), 2, "auth0, keycloak, old"),
        (("encode", "--issuer", "keycloak", "John|7"), 1, "'k-_4aohn_7c7'"),
        (("decode", "John"), 1, "a-z 0-9"),
        (("decode", "x-john"), 1, "no issuer's prefix"),
        (("decode", "a-_zz"), 1, "no subject"),
    ],
)
def test_what_cannot_be_translated_is_told(user_id, arguments, code, told):
    """The text says what would do: the issuers' names, the rule, the id that `escape` gives."""
    ended = user_id(*arguments)
    assert ended.code == code
    assert told in ended.err
