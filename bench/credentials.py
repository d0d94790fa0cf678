"""The users of the load and their credentials: RS256 tokens of a provider, each used once."""

import base64
import json
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

ISSUER = "https://id.bench.example"
AUDIENCE = "chat"
USERS = 5_000
USER_IDS = 1_000_000
"""Number of IDs over which the users are distributed."""
USER_ID_FORMAT = "user-%07d"
_CHUNK = 1_000


@dataclass(frozen=True, slots=True)
class Credential:
    """A token of the identity provider, and its user."""

    user_id: str
    token: str


@dataclass(frozen=True, slots=True)
class KeyPair:
    """The key of the identity provider as PEM."""

    private_pem: bytes
    public_pem: bytes


def make_key_pair() -> KeyPair:
    """Create an RSA key of the usual size."""
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


def sign_in(keys: KeyPair, count: int, pool: Executor) -> Iterator[Credential]:
    """Yield `count` different credentials for the users in turn, signed by `pool`."""
    now = int(time.time())
    chunks = [range(first, min(first + _CHUNK, count)) for first in range(0, count, _CHUNK)]
    for signed in pool.map(_sign, [keys.private_pem] * len(chunks), chunks, [now] * len(chunks)):
        yield from signed


def _sign(private_pem: bytes, serials: Iterable[int], now: int) -> list[Credential]:
    key = serialization.load_pem_private_key(private_pem, password=None)
    assert isinstance(key, rsa.RSAPrivateKey)
    header = _encode(json.dumps({"alg": "RS256", "typ": "JWT"}).encode())
    credentials = []
    for serial in serials:
        user_id = USER_ID_FORMAT % (serial % USERS * (USER_IDS // USERS))
        payload = _encode(json.dumps(_claims(user_id, serial, now)).encode())
        signing_input = header + b"." + payload
        signature = key.sign(signing_input, padding.PKCS1v15(), hashes.SHA256())
        token = signing_input + b"." + _encode(signature)
        credentials.append(Credential(user_id, token.decode("ascii")))
    return credentials


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
