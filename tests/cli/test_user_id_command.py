"""`tokensvc user-id`: converts a provider's subject to a user ID, and back."""

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
def test_decode_reverses_encode_with_escape_mapping(user_id):
    encoded = user_id("encode", "--issuer", "auth0", "auth0|5f7C")
    assert (encoded.code, encoded.out) == (0, "a-auth0_7c5f7_43\n")
    decoded = user_id("decode", encoded.out.strip())
    assert (decoded.code, decoded.out) == (0, "auth0: auth0|5f7C\n")


def test_decode_of_hashed_subject_fails(user_id):
    encoded = user_id("encode", "--issuer", "old", "auth0|5f7C", "--json")
    assert encoded.json["user_id"].startswith("o-")
    decoded = user_id("decode", encoded.json["user_id"])
    assert decoded.code == 1
    assert "cannot be reversed" in decoded.out + decoded.err


def test_decoded_subject_cannot_control_the_terminal(user_id):
    decoded = user_id("decode", "a-_1b_5b2_4a")
    assert (decoded.code, decoded.out) == (0, "auth0: \\x1b[2J\n")


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
