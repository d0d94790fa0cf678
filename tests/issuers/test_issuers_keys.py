"""The usable keys of a set."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448
from jwt.algorithms import OKPAlgorithm, RSAAlgorithm
from jwt.utils import to_base64url_uint

from testing.doubles.issuer import private_key, public_jwk
from tokensvc.issuers.keyset import (
    MAX_KEYS_WITHOUT_ID,
    KeySet,
    KeySetError,
    parse_document,
)

RSA = public_jwk(private_key("RS256"), kid="rsa")
EC = public_jwk(private_key("ES256"), kid="ec")
ED = public_jwk(private_key("EdDSA"), kid="ed")
PRIVATE = {**RSAAlgorithm.to_jwk(private_key("RS256"), as_dict=True), "key_ops": ["verify"]}


def key_set(*keys: Any) -> KeySet:
    return parse_document(json.dumps({"keys": keys}).encode())


def rsa_jwk(exponent: int) -> dict[str, Any]:
    """Return a JWK with any exponent; libraries do not create such keys."""
    return {**RSA, "e": to_base64url_uint(exponent).decode()}


def test_key_is_found_by_id_and_algorithm() -> None:
    """Each type of key verifies only the algorithms of its type."""
    keys = key_set(RSA, EC, ED)
    assert keys.size == 3
    for algorithm in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"):
        assert [key.kid for key in keys.find("rsa", algorithm)] == ["rsa"]
    assert [key.kid for key in keys.find("ec", "ES256")] == ["ec"]
    assert [key.kid for key in keys.find("ed", "EdDSA")] == ["ed"]


@pytest.mark.sec(3)
def test_key_with_a_declared_algorithm_verifies_no_other() -> None:
    """`alg` of a JWK restricts the key; one of another type makes the key unusable."""
    keys = key_set({**RSA, "alg": "RS512"})
    assert keys.find("rsa", "RS512")
    assert not keys.find("rsa", "RS256")
    assert key_set({**RSA, "alg": "ES256"}).size == 0
    assert key_set({**RSA, "alg": "HS256"}).size == 0
    assert key_set({**RSA, "alg": ["RS256"]}).size == 0


def test_token_without_id_matches_any_key_of_the_algorithm() -> None:
    """At most a few: each costs a verification, which an untrusted client can cause."""
    another = public_jwk(private_key("RS256", 1), kid="rsa-1")
    assert len(key_set(RSA, another, EC).find(None, "RS256")) == 2
    assert len(key_set(*[RSA] * 64).find(None, "RS256")) == MAX_KEYS_WITHOUT_ID


def test_key_without_id_matches_any_token() -> None:
    """Unless another key has the ID of the token."""
    unnamed = {name: value for name, value in EC.items() if name != "kid"}
    keys = key_set(unnamed, RSA)
    assert [key.kid for key in keys.find("whatever", "ES256")] == [None]
    assert [key.kid for key in keys.find(None, "ES256")] == [None]
    assert keys.find("whatever", "RS256") == ()


@pytest.mark.sec(20)
@pytest.mark.parametrize(
    ("jwk", "why"),
    [
        ({**RSA, "use": "enc"}, "`use`"),
        ({**RSA, "key_ops": ["encrypt"]}, "`key_ops`"),
        ({**RSA, "key_ops": "verify"}, "`key_ops`"),
        ({**RSA, "kid": 1}, "`kid`"),
        ({**RSA, "alg": "RSA-OAEP"}, "`alg`"),
        ({"kty": "oct", "k": "AAAA", "kid": "rsa"}, "`kty`"),
        ({"kty": "oct", "k": "AAAA", "kid": "rsa", "alg": "HS256"}, "`kty`"),
        ({"kty": ["RSA"]}, "`kty`"),
        ({}, "`kty`"),
        ("rsa", "not a JSON object"),
        (PRIVATE, "private key"),
        ({**RSA, "n": None}, "not strings"),
        ({**RSA, "n": 5}, "not strings"),
        ({**RSA, "n": "AAAA"}, "not a valid key"),
        ({**RSA, "n": "é"}, "not a valid key"),
        ({**EC, "x": EC["y"]}, "not a valid key"),
        ({**EC, "crv": "P-384"}, "not a valid key"),
        ({**EC, "crv": "P-192"}, "not a valid key"),
        (public_jwk(private_key("RS256", bits=1024)), "2048 to 8192 bits"),
        (rsa_jwk(3), "exponent"),
        (rsa_jwk(65536), "not a valid key"),
        (rsa_jwk(1), "not a valid key"),
        (rsa_jwk(2**256 + 1), "exponent"),
        (public_jwk(ec.generate_private_key(ec.SECP256K1())), "type or curve"),
        (
            OKPAlgorithm.to_jwk(ed448.Ed448PrivateKey.generate().public_key(), as_dict=True),
            "type or curve",
        ),
    ],
)
def test_unusable_key_is_ignored(jwk: Any, why: str) -> None:
    """Weak, private, symmetric and encryption keys are ignored; the rest of the set is used."""
    keys = key_set(jwk, ED)
    assert keys.size == 1
    assert keys.find("ed", "EdDSA")
    assert len(keys.ignored) == 1
    assert why in keys.ignored[0]


@pytest.mark.sec(17)
def test_set_of_more_than_64_keys_is_refused() -> None:
    assert key_set(*[RSA] * 64).size == 64
    with pytest.raises(KeySetError, match="64"):
        key_set(*[RSA] * 65)


@pytest.mark.parametrize("certificate", ["", "x", "-----BEGIN CERTIFICATE-----\nAAAA"])
def test_object_without_certificates_is_refused(certificate: str) -> None:
    """Google's form is a PEM certificate by ID; an unreadable certificate is ignored."""
    document = json.dumps({"a": certificate}).encode()
    if certificate.startswith("-----"):
        assert parse_document(document).ignored == ("a: it is not a certificate",)
    else:
        with pytest.raises(KeySetError):
            parse_document(document)
