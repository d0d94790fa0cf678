"""
The form of client IDs and secrets, and new ones.

A secret is 256 random bits, so its SHA-256 is as hard to invert as the secret is to guess: no slow
hash is needed. The prefix lets scanners of leaked credentials find it. The checksum lets them
exclude similar texts without a request.
"""

import hashlib
import re
import secrets
from base64 import urlsafe_b64encode

import msgspec

from tokensvc.clients.rules import Rights
from tokensvc.clients.state import ClientSecret, NewClientSecret, NewServiceClient
from tokensvc.core.errors import Code, Refusal
from tokensvc.core.scopes import check_scopes

SECRET_PREFIX = "tks_"  # noqa: S105 - the prefix of secrets, not a secret
SECRET_BYTES = 32
MIN_GIVEN_SECRET = 32
_MAX_GIVEN_SECRET = 256
_CHECKSUM_LENGTH = 6

MAX_NAME = 100
_ID_PREFIX = "svc."
_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_LONGEST_STEM = len(_ID_PREFIX) + 54
"""Characters of an ID before its suffix: with 9 more it is still an ID."""
_GIVEN_SECRET = re.compile(rf"[!-~]{{{MIN_GIVEN_SECRET},{_MAX_GIVEN_SECRET}}}")


def new_client(
    name: str, rights: Rights, given: str | None, expires_at: int | None, now: int
) -> NewServiceClient:
    """
    Return a new client with its first secret.

    Args:
        given: Secret to use instead of a random one.
        expires_at: End of the secret in epoch seconds; `None`: never.

    Raises:
        Refusal: `malformed_request` for an invalid name, scope or secret.
    """
    check_scopes(rights.scopes)
    new = new_secret(given, expires_at, now)
    members = msgspec.structs.asdict(new)
    secret = members.pop("secret")
    return NewServiceClient(
        id=make_id(check_name(name), secrets.token_bytes(8)),
        name=name,
        scopes=sorted(rights.scopes),
        vouches=rights.vouches,
        created_at=now,
        secrets=[ClientSecret(**members)],
        secret=secret,
    )


def with_another_id(client: NewServiceClient) -> NewServiceClient:
    """Return a new client whose ID ends with a random suffix."""
    another = make_another_id(client.id, secrets.token_bytes(4))
    return msgspec.structs.replace(client, id=another)


def new_secret(given: str | None, expires_at: int | None, now: int) -> NewClientSecret:
    """
    Return a new secret.

    Args:
        given: Secret to use instead of a random one.
        expires_at: Epoch seconds; `None`: never.

    Raises:
        Refusal: `malformed_request` for an invalid secret.
    """
    if given is not None:
        check_given_secret(given)
    return NewClientSecret(
        id=make_secret_id(secrets.token_bytes(8)),
        created_at=now,
        expires_at=expires_at,
        last_used_at=None,
        secret=make_secret(secrets.token_bytes(SECRET_BYTES)) if given is None else given,
    )


def make_secret(random_bytes: bytes) -> str:
    """Return random bytes as a secret: prefix, base64url, checksum."""
    body = SECRET_PREFIX + urlsafe_b64encode(random_bytes).rstrip(b"=").decode("ascii")
    return body + checksum(body)


def checksum(body: str) -> str:
    """Return the last characters of a secret, computed from those before them."""
    digest = hashlib.sha256(body.encode("ascii")).digest()
    return urlsafe_b64encode(digest).decode("ascii")[:_CHECKSUM_LENGTH]


def hash_secret(secret: str) -> str:
    """Return the hexadecimal SHA-256 of a secret, which the database contains."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def check_given_secret(secret: str) -> None:
    """
    Check a secret that an operator chose.

    Raises:
        Refusal: `malformed_request`: too short to be hard to guess, too long, or not plain ASCII.
    """
    if not _GIVEN_SECRET.fullmatch(secret):
        raise Refusal(
            Code.MALFORMED_REQUEST,
            f"A secret is {MIN_GIVEN_SECRET} to {_MAX_GIVEN_SECRET} printable ASCII characters "
            "without spaces: use random ones.",
        )


def check_name(name: str) -> str:
    """
    Return the name of a client.

    Raises:
        Refusal: `malformed_request`: empty, too long, or not printable.
    """
    if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
        raise Refusal(
            Code.MALFORMED_REQUEST, f"A client's name is 1 to {MAX_NAME} printable characters."
        )
    return name


def make_id(name: str, random_bytes: bytes) -> str:
    """
    Return the ID of a new client.

    It contains the name if that is plain, so that a deployment with a secret of its own knows the
    ID in advance. User IDs cannot contain the dot.
    """
    return _ID_PREFIX + (name if _SLUG.fullmatch(name) else random_bytes.hex())


def make_another_id(client_id: str, random_bytes: bytes) -> str:
    """Return an ID for a client whose usual ID was used before. Four random bytes are enough."""
    return f"{client_id[:_LONGEST_STEM]}-{random_bytes.hex()}"


def make_secret_id(random_bytes: bytes) -> str:
    """Return the ID of a new secret, which is independent of the secret."""
    return f"sec_{random_bytes.hex()}"


def is_id(text: str) -> bool:
    """Return whether a text has the form of a client ID."""
    return text.startswith(_ID_PREFIX) and bool(_SLUG.fullmatch(text, len(_ID_PREFIX)))
