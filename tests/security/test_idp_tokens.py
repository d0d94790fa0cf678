"""Hostile tokens of identity providers: algorithms, keys and headers."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
import structlog
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from testing.doubles.issuer import IssuerDouble, base64url, compact, private_key, public_jwk
from tests.issuers.refusals import authenticate
from tests.security.conftest import IDP_CLOCK, NOW
from tests.security.idp_tokens import assert_invalid
from tokensvc.issuers.service import Issuers

MakeIssuers = Callable[..., Issuers]


def with_header(token: str, **header: Any) -> str:
    """Replace the header of a token and keep its signature."""
    _, payload, signature = token.split(".")
    return f"{base64url(json.dumps(header).encode())}.{payload}.{signature}"


@pytest.mark.sec(1)
@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", "none ", "", None])
@pytest.mark.parametrize("signature", ["", "AAAA", "kept"])
def test_algorithm_none_is_refused(
    name: str | None, signature: str, issuers: Issuers, idp: IssuerDouble
) -> None:
    """In any letter case, with any signature."""
    head, payload, kept = with_header(idp.token(), alg=name, kid=idp.kids[0]).split(".")
    assert_invalid(issuers, f"{head}.{payload}.{kept if signature == 'kept' else signature}")


def public_key_spellings() -> dict[str, bytes]:
    key = private_key("RS256").public_key()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    jwk = public_jwk(private_key("RS256"), kid="key-0", use="sig", alg="RS256")
    return {
        "PEM": pem,
        "PEM without end": pem.strip(),
        "PEM, PKCS 1": key.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
        "DER": key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "SSH": key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        "JWK": json.dumps(jwk).encode(),
        "JWKS": json.dumps({"keys": [jwk]}).encode(),
        "JWK with a byte order mark": b"\xef\xbb\xbf" + json.dumps(jwk).encode(),
        "modulus": base64.urlsafe_b64decode(jwk["n"] + "=="),
        "empty": b"",
    }


@pytest.mark.sec(2)
@pytest.mark.parametrize("spelling", public_key_spellings())
@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_public_key_as_hmac_secret_is_refused(
    algorithm: str, spelling: str, issuers: Issuers, idp: IssuerDouble
) -> None:
    """In every encoding of the key."""
    header = {"alg": algorithm, "typ": "JWT", "kid": idp.kids[0]}
    secret = public_key_spellings()[spelling]
    assert_invalid(issuers, compact(header, idp.claims(), secret, algorithm))


@pytest.mark.sec(2)
def test_unconfigured_algorithm_is_refused(make_issuers: MakeIssuers, idp: IssuerDouble) -> None:
    """Although the key is published and the signature genuine."""
    token = compact({"alg": "ES256", "kid": "ec"}, idp.claims(), private_key("ES256"), "ES256")
    assert authenticate(make_issuers(algorithms=["RS256", "ES256"]), token).user_id == "john"
    assert_invalid(make_issuers(algorithms=["RS256"]), token)


@pytest.mark.sec(3)
@pytest.mark.parametrize(
    ("header", "key", "algorithm"),
    [
        ({"alg": "RS256", "kid": "ec"}, ("ES256", 0), "ES256"),
        ({"alg": "ES256", "kid": "key-0"}, ("RS256", 0), "RS256"),
        ({"alg": "ES256", "kid": "ec"}, ("RS256", 0), "RS256"),
        ({"alg": "RS256", "kid": "key-0"}, ("RS256", 0), "PS256"),
        ({"alg": "RS256", "kid": "key-0"}, ("RS256", 0), "RS512"),
        ({"alg": "ES256", "kid": "ec"}, ("ES384", 0), "ES384"),
    ],
)
def test_algorithm_of_another_key_type_is_refused(
    header, key, algorithm: str, issuers: Issuers, idp: IssuerDouble
) -> None:
    assert_invalid(issuers, compact(header, idp.claims(), private_key(*key), algorithm))


@pytest.mark.sec(4)
@pytest.mark.parametrize("member", ["jwk", "jku", "x5u", "x5c"])
@pytest.mark.parametrize("kid", ["key-0", "mine", None])
def test_key_in_the_header_is_ignored(
    member: str, kid: str | None, issuers: Issuers, idp: IssuerDouble
) -> None:
    """Only the issuer's own keys verify; URLs in the header are not fetched."""
    mine = private_key("RS256", 9)
    values = {
        "jwk": public_jwk(mine, kid="mine"),
        "jku": f"{idp.url}/mine.json",
        "x5u": f"{idp.url}/mine.pem",
        "x5c": [base64.b64encode(b"certificate").decode()],
    }
    header = {"alg": "RS256", "typ": "JWT", "kid": kid, member: values[member]}
    forged = compact(
        {name: value for name, value in header.items() if value is not None},
        idp.claims(),
        mine,
        "RS256",
    )
    assert_invalid(issuers, forged)
    assert idp.hits("/mine.json") == idp.hits("/mine.pem") == 0
    genuine = idp.sign(idp.claims(), header={member: values[member]})
    assert authenticate(issuers, genuine).user_id == "john"


@pytest.mark.sec(5)
@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"]},
        {"crit": ["b64"], "b64": True},
        {"crit": ["b64"], "b64": False},
        {"crit": ["x"], "x": 1},
        {"crit": []},
        {"crit": "b64"},
        {"crit": {"b64": 1}},
        {"crit": False},
        {"b64": False},
        {"b64": True},
    ],
)
def test_critical_extension_is_refused(
    header: dict[str, Any], issuers: Issuers, idp: IssuerDouble
) -> None:
    """`crit` and `b64` in every form, although the signature is genuine."""
    assert_invalid(issuers, idp.sign(idp.claims(), header=header))


@pytest.mark.sec(6)
@pytest.mark.parametrize(
    "kid",
    [
        "../../../../etc/passwd",
        "/dev/null",
        "key-0' OR '1'='1",
        "key-0\x00",
        "key-0\n",
        "KEY-0",
        " key-0",
        "",
        "\ud800",
        "k" * 5000,
        0,
        1.5,
        True,
        {"kid": "key-0"},
        ["key-0"],
    ],
)
def test_hostile_key_id_finds_no_key(kid: Any, issuers: Issuers, idp: IssuerDouble) -> None:
    """Nothing of it is logged."""
    with structlog.testing.capture_logs() as lines:
        assert_invalid(issuers, idp.sign(idp.claims(), header={"kid": kid}))
    assert not lines


@pytest.mark.sec(6, 10)
@pytest.mark.parametrize("member", ["kid", "typ"])
def test_null_header_member_is_refused(member: str, issuers: Issuers, idp: IssuerDouble) -> None:
    """It is not the same as a missing one."""
    header = {"alg": "RS256", "typ": "JWT", "kid": idp.kids[0], member: None}
    assert_invalid(issuers, compact(header, idp.claims(), idp.key(), "RS256"))


@pytest.mark.sec(24)
def test_stream_token_is_not_a_credential(issuers: Issuers, idp: IssuerDouble) -> None:
    """Also if it named the issuer."""
    header = {"alg": "HS256", "typ": "JWT"}
    minted = {"user_id": "john", "exp": NOW + 3600, "iat": NOW - 5}
    secret = b"a-stream-secret-of-more-than-32-bytes"
    assert_invalid(issuers, compact(header, minted, secret, "HS256"))
    assert_invalid(issuers, compact(header, {**idp.claims(), **minted}, secret, "HS256"))


@pytest.mark.sec(9)
def test_token_signed_by_another_issuer_is_refused(issuers: Issuers, idp: IssuerDouble) -> None:
    with IssuerDouble(clock=IDP_CLOCK) as other:
        assert_invalid(issuers, other.token())
        other.rotate()
        forged = other.sign(idp.claims(), header={"kid": idp.kids[0]})
        assert_invalid(issuers, forged)


@pytest.mark.sec(20)
@pytest.mark.parametrize(("kid", "key"), [("enc", ("RS256", 7)), ("weak", ("RS256", 0, 1024))])
def test_unusable_key_verifies_nothing(
    kid: str, key: tuple[Any, ...], issuers: Issuers, idp: IssuerDouble
) -> None:
    """A published encryption key, or a short one."""
    header = {"alg": "RS256", "typ": "JWT", "kid": kid}
    assert_invalid(issuers, compact(header, idp.claims(), private_key(*key), "RS256"))
