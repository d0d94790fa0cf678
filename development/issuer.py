"""
The identity provider of `make run`: it signs in any user.

Its key is created once, in a file that only its owner may read. The caller must ensure that it runs
in development only.
"""

import os
import tempfile
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tokensvc.issuers.settings import IssuerSettings
from tokensvc.vault.key_file import read_or_create

_KEY_BITS = 2048
_PUBLIC_EXPONENT = 65537


class DevelopmentIssuer:
    """
    Signs in any demo user.

    Args:
        key_file: File of the private key, created if missing; the public key is next to it.
        issuer_url: Value of `iss`.
        audience: Value of `aud`.
    """

    def __init__(self, key_file: Path, issuer_url: str, audience: str) -> None:
        self._issuer_url = issuer_url
        self._audience = audience
        self._public_key_file = key_file.with_name(f"{key_file.name}.pub").absolute()
        self._key = _load_or_create(key_file)
        _replace(self._public_key_file, _public_pem(self._key))

    def issue(self, subject: str, now: int, lifetime: int) -> str:
        """
        Return a token of a user who signs in now.

        Args:
            subject: Value of `sub`.
            now: Epoch seconds.
            lifetime: Seconds.
        """
        claims = {
            "iss": self._issuer_url,
            "aud": self._audience,
            "sub": subject,
            "iat": now,
            "auth_time": now,
            "exp": now + lifetime,
        }
        return jwt.encode(claims, self._key, algorithm="RS256")

    def issuer_settings(self) -> IssuerSettings:
        """Return the settings with which the service accepts these tokens."""
        return IssuerSettings(
            name="development",
            issuer=self._issuer_url,
            audience=(self._audience,),
            public_keys_file=self._public_key_file,
            algorithms=("RS256",),
        )


def _load_or_create(key_file: Path) -> rsa.RSAPrivateKey:
    pem = read_or_create(key_file, _new_private_pem)
    loaded = serialization.load_pem_private_key(pem.encode("ascii"), password=None)
    if not isinstance(loaded, rsa.RSAPrivateKey):
        raise TypeError(f"{key_file} is not an RSA key: delete it, and a new one is created")
    return loaded


def _replace(path: Path, content: bytes) -> None:
    """Write a complete file atomically."""
    handle, draft = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    Path(draft).replace(path)


def _new_private_pem() -> str:
    return (
        rsa.generate_private_key(_PUBLIC_EXPONENT, _KEY_BITS)
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        .decode("ascii")
    )


def _public_pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
