"""
What a client's id and secret look like. Pure.

A secret is 256 random bits, so its SHA-256 is as hard to invert as the secret to guess: no slow
hash is needed. The prefix lets scanners of leaked credentials find it, the checksum lets them rule
out look-alikes without asking us.
"""

import hashlib
import re
from base64 import urlsafe_b64encode

from tokensvc.core.errors import Code, Refusal

SECRET_PREFIX = "tks_"  # noqa: S105 - the prefix of secrets, none itself
SECRET_BYTES = 32
MIN_GIVEN_SECRET = 32
_MAX_GIVEN_SECRET = 256
_CHECKSUM_LENGTH = 6

MAX_NAME = 100
_ID_PREFIX = "svc."
_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_ID = re.compile(r"svc\.[a-z0-9][a-z0-9_-]{0,62}")
_GIVEN_SECRET = re.compile(rf"[!-~]{{{MIN_GIVEN_SECRET},{_MAX_GIVEN_SECRET}}}")


def make_secret(random_bytes: bytes) -> str:
    """Write random bytes as a secret: prefix, base64url, checksum."""
    body = SECRET_PREFIX + urlsafe_b64encode(random_bytes).rstrip(b"=").decode("ascii")
    return body + checksum(body)


def checksum(body: str) -> str:
    """Give the characters that end a secret, from those before them."""
    digest = hashlib.sha256(body.encode("ascii")).digest()
    return urlsafe_b64encode(digest).decode("ascii")[:_CHECKSUM_LENGTH]


def hash_secret(secret: str) -> str:
    """Give what the database holds of a secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def check_given_secret(secret: str) -> str:
    """
    Give back a secret that an operator chose.

    Raises:
        Refusal: `malformed_request`: too short to be hard to guess, or not plain ASCII.
    """
    if not _GIVEN_SECRET.fullmatch(secret):
        raise Refusal(
            Code.MALFORMED_REQUEST,
            f"A secret is {MIN_GIVEN_SECRET} to {_MAX_GIVEN_SECRET} printable ASCII characters "
            "without spaces: take random ones.",
        )
    return secret


def check_name(name: str) -> str:
    """
    Give back a client's name.

    Raises:
        Refusal: `malformed_request`: empty, too long, or with characters that do not print.
    """
    if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
        raise Refusal(
            Code.MALFORMED_REQUEST, f"A client's name is 1 to {MAX_NAME} printable characters."
        )
    return name


def make_id(name: str, random_bytes: bytes) -> str:
    """
    Give a new client's id.

    `svc.` and the name where that is plain, so that an operator who brings the secret along knows
    the id beforehand; else random. The dot can be in no user id.
    """
    return _ID_PREFIX + (name if _SLUG.fullmatch(name) else random_bytes.hex())


def make_secret_id(random_bytes: bytes) -> str:
    """Give a new secret's id, which says nothing about the secret."""
    return f"sec_{random_bytes.hex()}"


def is_id(text: str) -> bool:
    """Tell whether a text can be a client's id at all."""
    return _ID.fullmatch(text) is not None
