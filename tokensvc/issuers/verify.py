"""
Strict parsing of a compact JWS, and its verification with a configured key.

Owns the form of the token: 8 KiB, three segments of canonical base64url, a typed header, typed
registered claims, no duplicate member, no critical extension. It is stricter than PyJWT (RFC 8725,
RFC 7515 section 4.1.11): `jwt.decode` accepts every token that passes here.
"""

from binascii import a2b_base64
from collections.abc import Iterable
from typing import Any, NewType, TypeGuard

import msgspec

from tokensvc.core import strict_json
from tokensvc.core.errors import invalid_credential
from tokensvc.issuers.keyset import VerificationKey

MAX_TOKEN_LENGTH = 8192
MAX_TIME = 2**53 - 1
"""The largest integer that every JSON library reads exactly (RFC 8259 section 6)."""

VerifiedClaims = NewType("VerifiedClaims", dict[str, Any])
"""Claims whose signature was checked. Audience and times are not checked yet."""

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_LAST_CHARACTERS: tuple[frozenset[int], ...] = (
    frozenset(_ALPHABET),
    frozenset(),
    frozenset(b"AQgw"),
    frozenset(b"AEIMQUYcgkosw048"),
)
"""Last characters of a segment without unused bits, by its length modulo 4."""


class UnverifiedToken(msgspec.Struct, frozen=True):
    """A well-formed token. Its signature is not checked."""

    algorithm: str
    kid: str | None
    typ: str | None
    issuer: str
    claims: dict[str, Any]
    signing_input: bytes
    signature: bytes

    @property
    def expires_at(self) -> int:
        """The `exp`, epoch seconds."""
        at: int = self.claims["exp"]
        return at

    def __repr__(self) -> str:
        """Leave out the parts of the token."""
        return f"UnverifiedToken(algorithm={self.algorithm!r}, kid={self.kid!r})"


def parse(unverified_token: str, *, expires: bool = True) -> UnverifiedToken:
    """
    Parse a token.

    Args:
        expires: Whether it must have an `exp`.

    Raises:
        Refusal: `credentials_invalid`, for the first error.
    """
    if len(unverified_token) > MAX_TOKEN_LENGTH:
        raise invalid_credential(
            f"The token is longer than {MAX_TOKEN_LENGTH} characters.", "too long"
        )
    token = unverified_token.encode("utf-8", "replace")
    if token.translate(None, _ALPHABET) != b"..":
        raise invalid_credential(
            "The token is not a signed JWT: three base64url segments with dots between.",
            "not a JWT",
        )
    signing_input, _, signature = token.rpartition(b".")
    encoded_header, _, payload = signing_input.partition(b".")
    header = _json_object(_decode(encoded_header), "header")
    claims = _json_object(_decode(payload), "payload")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str):
        raise invalid_credential("The token's header has no `alg`.", "header")
    for name in ("kid", "typ"):
        if name in header and not isinstance(header[name], str):
            raise invalid_credential(f"`{name}` of the token's header is not a string.", "header")
    if "crit" in header or "b64" in header:
        # RFC 7515 section 4.1.11: an unknown critical extension must not be ignored.
        raise invalid_credential(
            "The token's header has extensions that this service does not support.", "extensions"
        )
    return UnverifiedToken(
        algorithm=algorithm,
        kid=header.get("kid"),
        typ=header.get("typ"),
        issuer=_check_registered(claims, expires=expires),
        claims=claims,
        signing_input=signing_input,
        signature=_decode(signature),
    )


def verify_signature(
    unverified: UnverifiedToken, keys: Iterable[VerificationKey]
) -> VerifiedClaims:
    """
    Check the signature with each key that may have made it.

    Raises:
        Refusal: `credentials_invalid`.
    """
    for key in keys:
        if key.verifies(unverified.algorithm, unverified.signing_input, unverified.signature):
            return VerifiedClaims(unverified.claims)
    raise invalid_credential("The token's signature is not valid for its issuer.", "signature")


def claim(claims: object, name: str) -> object:
    """
    Return a claim, or a member of one such as `firebase.sign_in_provider`; `None` if it is missing.

    A claim whose own name contains the dots has precedence.
    """
    if not isinstance(claims, dict):
        return None
    if name in claims:
        return claims[name]
    owner, dot, member = name.rpartition(".")
    return claim(claim(claims, owner), member) if dot else None


def _decode(segment: bytes) -> bytes:
    if not segment or segment[-1] not in _LAST_CHARACTERS[len(segment) % 4]:
        raise invalid_credential("A segment of the token is not base64url.", "not a JWT")
    return a2b_base64(segment.translate(_TO_STANDARD) + b"==")


def _json_object(text: bytes, what: str) -> dict[str, Any]:
    try:
        parsed = strict_json.DECODER.decode(text.decode("utf-8"))
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise invalid_credential(
            f"The token's {what} is not a JSON object, or has a duplicate member.", "not a JWT"
        )
    return parsed


def _check_registered(claims: dict[str, Any], *, expires: bool) -> str:
    """Check the types of the registered claims, and return the issuer."""
    issuer = claims.get("iss")
    if not isinstance(issuer, str):
        raise invalid_credential(
            "The token's `iss` is missing or not a string.", "registered claims"
        )
    for name in ("exp", "iat") if expires or "exp" in claims else ("iat",):
        if not is_time(claims.get(name)):
            raise invalid_credential(
                f"The token's `{name}` is missing or not an integer of epoch seconds.",
                "registered claims",
            )
    if not isinstance(claims.get("jti", ""), str):
        raise invalid_credential("The token's `jti` is not a string.", "registered claims")
    if "nbf" in claims and not is_time(claims["nbf"]):
        raise invalid_credential(
            "The token's `nbf` is not an integer of epoch seconds.", "registered claims"
        )
    return issuer


def is_time(value: object) -> TypeGuard[int]:
    """Return whether a claim is an integer time; PyJWT also accepts strings and floats."""
    return type(value) is int and 0 <= value <= MAX_TIME
