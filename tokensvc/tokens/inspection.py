"""
What a Stream user token says, and why it would be refused. For operators; it grants nothing.

Tells a key by its name and fingerprint, and never repeats the token.
"""

import hmac
import json
import re
from base64 import urlsafe_b64decode
from dataclasses import dataclass, field
from typing import Any

from tokensvc.keys.rules import StreamKey, StreamKeyRing, fingerprint
from tokensvc.standing.rules import Standing

MAX_LENGTH = 8192

_INT64 = 2**63
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class UnverifiedStreamToken:
    """
    A token taken apart. Its claims are what it says, which proves nothing yet.

    Attributes:
        user_id: `None` where the claim is missing or no text.
        issued_at: `iat`, epoch seconds.
        expires_at: `exp`, epoch seconds.
    """

    user_id: str | None
    issued_at: int | None
    expires_at: int | None
    signing_input: bytes = field(repr=False)
    signature: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Inspection:
    """
    What an operator wants to know of a token.

    Attributes:
        api_key: The Stream key that signed it; `None` when no key in use did.
        key_state: That key's state.
        fingerprint: Of that key's secret.
        faults: Why it would be refused, with Stream's code; none when Stream takes it.
    """

    user_id: str | None
    issued_at: int | None
    expires_at: int | None
    api_key: str | None
    key_state: str | None
    fingerprint: str | None
    faults: tuple[str, ...]


def parse(token: str) -> UnverifiedStreamToken:
    """
    Take a token apart.

    Raises:
        ValueError: It is no Stream token; the text says what it is instead.
    """
    if len(token) > MAX_LENGTH or not _COMPACT.fullmatch(token):
        raise ValueError("this is no token: three parts of letters, digits, - and _ with dots")
    header, claims, signature = token.split(".")
    algorithm = _json(header).get("alg")
    if algorithm != "HS256":
        raise ValueError(
            f"this is no token of Stream's, which are HS256, but {str(algorithm)[:20]!r}: if your "
            "identity provider made it, ask `tokensvc doctor --token -`"
        )
    stated = _json(claims)
    return UnverifiedStreamToken(
        user_id=stated["user_id"] if isinstance(stated.get("user_id"), str) else None,
        issued_at=_time(stated, "iat"),
        expires_at=_time(stated, "exp"),
        signing_input=f"{header}.{claims}".encode("ascii"),
        signature=_decode(signature),
    )


def explain(token: UnverifiedStreamToken, ring: StreamKeyRing, standing: Standing) -> Inspection:
    """
    Say which key signed a token, and why it would be refused.

    Args:
        token: From `parse`.
        ring: At least as new as `standing.ring_version`.
        standing: Of the user that the token names.
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


def _faults(token: UnverifiedStreamToken, key: StreamKey | None, standing: Standing) -> list[str]:
    faults = []
    if key is None:
        faults.append("no Stream key in use here has signed it (code 43)")
    if not token.user_id:
        faults.append("it names no user: a genuine one is an admin token, which no client may have")
    if token.expires_at is not None and token.expires_at <= standing.now:
        faults.append(f"it expired {standing.now - token.expires_at} s ago (code 40)")
    if token.issued_at is not None and token.issued_at > standing.now:
        ahead = token.issued_at - standing.now
        faults.append(f"it is issued {ahead} s ahead of this machine's clock (code 42)")
    cut_off = standing.tokens_valid_after
    if cut_off is not None and (token.issued_at is None or token.issued_at < cut_off):
        faults.append("it was issued before a revocation (code 40)")
    if standing.suspended:
        faults.append("the user is suspended: this service mints no further token")
    return faults


def _json(segment: str) -> dict[str, Any]:
    try:
        value = json.loads(_decode(segment))
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict):
        return value
    raise ValueError("this is no token: its parts are no JSON objects")


def _decode(segment: str) -> bytes:
    try:
        return urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except ValueError as error:
        raise ValueError("this is no token: its parts are no base64url") from error


def _time(claims: dict[str, Any], name: str) -> int | None:
    value = claims.get(name)
    if value is None or (type(value) is int and abs(value) < _INT64):
        return value
    raise ValueError(f"its {name} is no integer: Stream refuses it (code 5)")
