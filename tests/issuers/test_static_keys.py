"""Keys from an operator's PEM file."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from testing.doubles.issuer import IssuerDouble, private_key
from testing.manual_clock import ManualClock
from tests.issuers.conftest import MakeIssuers
from tests.issuers.refusals import authenticate
from tests.vectors.make_provider_tokens import certificate
from tokensvc.core.errors import Code, Refusal, StartupError


def public_pem(key, form: PublicFormat = PublicFormat.SubjectPublicKeyInfo) -> str:
    return key.public_key().public_bytes(Encoding.PEM, form).decode()


def private_pem(key) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def settings(idp: IssuerDouble, path: Path, text: str, **members):
    path.write_text(text)
    return idp.settings(jwks_uri=None, public_keys_file=path, **members)


def test_any_key_of_the_file_verifies(
    idp: IssuerDouble, make_issuers: MakeIssuers, tmp_path: Path
) -> None:
    """A file can have several keys in several forms; a token's `kid` does not matter."""
    keys = [private_key("RS256", number) for number in (0, 1, 2)]
    text = "\n".join(
        [
            "A comment between the blocks.",
            public_pem(keys[0]),
            public_pem(keys[1], PublicFormat.PKCS1),
            certificate(keys[2]),
        ]
    )
    issuers = make_issuers(settings(idp, tmp_path / "keys.pem", text))
    for _ in range(3):
        assert authenticate(issuers, idp.token()).user_id == "john"
        unnamed = idp.sign(idp.claims(), header={"kid": None})
        assert authenticate(issuers, unnamed).user_id == "john"
        idp.rotate()
    with pytest.raises(Refusal) as caught:
        authenticate(issuers, idp.token())
    assert caught.value.code is Code.CREDENTIALS_INVALID
    assert idp.hits() == 0


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512", "EdDSA", "PS256", "RS512"])
def test_every_configurable_algorithm_verifies(
    algorithm: str, make_issuers: MakeIssuers, tmp_path: Path, clock: ManualClock
) -> None:
    with IssuerDouble(algorithm=algorithm, clock=clock) as idp:
        text = public_pem(idp.key())
        issuers = make_issuers(settings(idp, tmp_path / "keys.pem", text))
        assert authenticate(issuers, idp.token()).user_id == "john"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "contains no PEM block"),
        ("ssh-ed25519 AAAA", "contains no PEM block"),
        (lambda: private_pem(private_key("RS256")), "private key"),
        (lambda: public_pem(private_key("RS256", bits=1024)), "2048"),
        (lambda: public_pem(ec.generate_private_key(ec.SECP256K1())), "curve"),
        (lambda: public_pem(private_key("RS256")).replace("MIIB", "MIIA"), "block 1"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "not a certificate"),
        (lambda: public_pem(private_key("RS256")) * 9, "more than 8"),
        ("é", "cannot be read (UnicodeDecodeError)"),
    ],
)
def test_invalid_file_stops_the_start(
    text, why: str, idp: IssuerDouble, make_issuers: MakeIssuers, tmp_path: Path
) -> None:
    """The error names issuer, setting, file and block, and quotes nothing of the file."""
    content = text if isinstance(text, str) else text()
    with pytest.raises(StartupError) as caught:
        make_issuers(settings(idp, tmp_path / "keys.pem", content))
    assert "acme: public_keys_file" in str(caught.value)
    assert why in str(caught.value)
    assert "MII" not in str(caught.value)


def test_missing_file_stops_the_start(
    idp: IssuerDouble, make_issuers: MakeIssuers, tmp_path: Path
) -> None:
    """Unlike an unreachable issuer, it is a configuration error."""
    with pytest.raises(StartupError, match="cannot be read"):
        make_issuers(idp.settings(jwks_uri=None, public_keys_file=tmp_path / "none.pem"))
