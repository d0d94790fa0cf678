"""
Explain a Stream user token to an operator: its claims, its key and why Stream would refuse it.

Names a key by its API key and fingerprint, and never repeats the token.
"""

import hmac
import json
import re
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tokensvc.standing.rules import Standing
from tokensvc.stream.keys.rules import StreamKey, StreamKeyRing
from tokensvc.vault.rules import fingerprint

MAX_LENGTH = 8192

_OF_PROVIDER = "For a token of your identity provider, use `tokensvc doctor --token -`."
_INT64 = 2**63
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class UnverifiedStreamToken:
    """
    A parsed token. Its claims are not verified.

    Attributes:
        user_id: User ID; `None` if the claim is missing or not a string.
        issued_at: `iat`, epoch seconds.
        expires_at: `exp`, epoch seconds.
    """

    user_id: str | None
    issued_at: int | None
    expires_at: int | None
    signing_input: bytes = field(repr=False)
    signature: bytes = field(repr=False)


class Fault(NamedTuple):
    """
    A reason for a refusal.

    Attributes:
        part: Part of the token: `user`, `issued`, `expires` or `key`.
        text: Reason, with Stream's code.
    """

    part: str
    text: str


@dataclass(frozen=True, slots=True)
class Inspection:
    """
    Findings about a token.

    Attributes:
        user_id: User ID that the token names.
        issued_at: `iat`, epoch seconds.
        expires_at: `exp`, epoch seconds.
        api_key: Stream key that signed the token; `None` if no key in use did.
        key_state: State of that key.
        fingerprint: Fingerprint of that key's secret.
        faults: Reasons for a refusal; empty if Stream accepts the token.
    """

    user_id: str | None
    issued_at: int | None
    expires_at: int | None
    api_key: str | None
    key_state: str | None
    fingerprint: str | None
    faults: tuple[Fault, ...]


def parse(token: str) -> UnverifiedStreamToken:
    """
    Parse a token.

    Raises:
        ValueError: The text is not a Stream token; the message says what is wrong.
    """
    if len(token) > MAX_LENGTH or not _COMPACT.fullmatch(token):
        raise ValueError(
            "This is not a token: a token has three parts of letters, digits, - and _, with dots "
            "between them."
        )
    header, claims, signature = token.split(".")
    algorithm = _json(header).get("alg")
    if algorithm != "HS256":
        raise ValueError(
            f"This is not a Stream token: its algorithm is {str(algorithm)[:20]!r}, not HS256. "
            f"{_OF_PROVIDER}"
        )
    members = _json(claims)
    if "iss" in members and not isinstance(members.get("user_id"), str):
        raise ValueError(
            f"This is not a Stream token: it names an issuer and no user ID. {_OF_PROVIDER}"
        )
    return UnverifiedStreamToken(
        user_id=members["user_id"] if isinstance(members.get("user_id"), str) else None,
        issued_at=_time(members, "iat"),
        expires_at=_time(members, "exp"),
        signing_input=f"{header}.{claims}".encode("ascii"),
        signature=_decode(signature),
    )


def explain(token: UnverifiedStreamToken, ring: StreamKeyRing, standing: Standing) -> Inspection:
    """
    Find the key that signed a token, and the reasons for a refusal.

    Args:
        token: Result of `parse`.
        ring: Key ring of the version `standing.ring_version`.
        standing: Standing of the user that the token names.
    """
    key = next((key for key in ring.keys if _signed_by(token, key)), None)
    return Inspection(
        user_id=token.user_id,
        issued_at=token.issued_at,
        expires_at=token.expires_at,
        api_key=key.api_key if key else None,
        key_state=str(key.state) if key else None,
        fingerprint=fingerprint(key.secret) if key else None,
        faults=tuple(_faults(token, key, standing)),
    )


def _signed_by(token: UnverifiedStreamToken, key: StreamKey) -> bool:
    expected = hmac.digest(key.secret, token.signing_input, "sha256")
    return hmac.compare_digest(token.signature, expected)


def _faults(
    token: UnverifiedStreamToken, key: StreamKey | None, standing: Standing
) -> Iterator[Fault]:
    if key is None:
        yield Fault("key", "no Stream key of this service signed it (code 43)")
    if not token.user_id:
        yield Fault(
            "user",
            "it names no user: if it is genuine, it is an admin token, which no client may have",
        )
    if token.expires_at is not None and token.expires_at <= standing.now:
        yield Fault("expires", f"it expired {standing.now - token.expires_at} s ago (code 40)")
    if token.issued_at is not None and token.issued_at > standing.now:
        ahead = token.issued_at - standing.now
        yield Fault("issued", f"its `iat` is {ahead} s in the future (code 42)")
    cut_off = standing.tokens_valid_after
    if cut_off is not None and (token.issued_at is None or token.issued_at < cut_off):
        yield Fault("issued", "it was issued before a revocation (code 40)")
    if standing.suspended:
        why = "was erased" if standing.erased else "is suspended"
        yield Fault("user", f"the user {why}: this service mints no token for them")


def _json(segment: str) -> dict[str, Any]:
    try:
        value = json.loads(_decode(segment))
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict):
        return value
    raise ValueError("This is not a token: its parts are not JSON objects.")


def _decode(segment: str) -> bytes:
    try:
        return urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except ValueError as error:
        raise ValueError("This is not a token: its parts are not base64url.") from error


def _time(claims: dict[str, Any], name: str) -> int | None:
    value = claims.get(name)
    if value is None or (type(value) is int and abs(value) < _INT64):
        return value
    raise ValueError(f"The token's `{name}` is not an integer: Stream refuses it (code 5).")
