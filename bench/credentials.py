"""The users of the load and their credentials: RS256 tokens of an identity provider, all unique."""

import base64
import json
import time
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Protocol

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

ISSUER = "https://id.bench.example"
AUDIENCE = "chat"
USERS = 5_000
USER_IDS = 1_000_000
"""Number of user IDs among which the users are spread evenly."""
USER_ID_FORMAT = "user-%07d"


@dataclass(frozen=True, slots=True)
class Credential:
    """A token of the identity provider, and the user it was issued to."""

    user_id: str
    token: str


@dataclass(frozen=True, slots=True)
class KeyPair:
    """The identity provider's key in PEM."""

    private_pem: bytes
    public_pem: bytes


def make_key_pair() -> KeyPair:
    """Create an RSA key of the size that identity providers use."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return KeyPair(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
    )


class CredentialSource(Protocol):
    """Credentials, each for one request."""

    def take(self, count: int) -> list[Credential]:
        """Return `count` credentials that were not returned before."""


class Credentials:
    """
    Signs credentials; each one has a new token.

    Args:
        keys: The identity provider's key.
        pool: Processes that sign.
        size: Number of processes in the pool.
        users: Number of users, who get a credential in turn.
    """

    def __init__(self, keys: KeyPair, pool: Executor, size: int, users: int = USERS) -> None:
        self._keys = keys
        self._pool = pool
        self._size = size
        self._users = users
        self._next = 0

    def take(self, count: int) -> list[Credential]:
        """Return `count` credentials that were not returned before."""
        serials = range(self._next, self._next + count)
        self._next += count
        parts = [serials[first :: self._size] for first in range(self._size)]
        signed = self._pool.map(
            sign, [self._keys.private_pem] * self._size, parts, [self._users] * self._size
        )
        return [credential for part in signed for credential in part]


def sign(private_pem: bytes, serials: range, users: int = USERS) -> list[Credential]:
    """Return the credential of each serial number."""
    return list(_signed(private_pem, serials, users))


def _signed(private_pem: bytes, serials: range, users: int) -> Iterator[Credential]:
    key = serialization.load_pem_private_key(private_pem, password=None)
    assert isinstance(key, rsa.RSAPrivateKey)
    now = int(time.time())
    header = _encode(json.dumps({"alg": "RS256", "typ": "JWT"}).encode())
    for serial in serials:
        user_id = USER_ID_FORMAT % (serial % users * (USER_IDS // users))
        payload = _encode(json.dumps(_claims(user_id, serial, now)).encode())
        signing_input = header + b"." + payload
        signature = key.sign(signing_input, padding.PKCS1v15(), hashes.SHA256())
        token = signing_input + b"." + _encode(signature)
        yield Credential(user_id, token.decode("ascii"))


def _claims(user_id: str, serial: int, now: int) -> dict[str, str | int | bool]:
    return {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": user_id,
        "iat": now,
        "exp": now + 3600,
        "auth_time": now,
        "jti": f"{serial:032x}",
        "email": f"{user_id}@bench.example",
        "email_verified": True,
    }


def _encode(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
