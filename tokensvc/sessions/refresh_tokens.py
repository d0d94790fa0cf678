"""
The text of a refresh token. Pure.

A token is `tsr_` and the base64url of family ID, counter, MAC and checksum. Nothing per token is
stored: the MAC proves that the service made the token for this counter. The checksum lets the
service refuse other texts without reading the database. The prefix lets scanners of leaked
credentials find a token.

The parts have fixed lengths and fill all characters, so a token has exactly one text.
"""

import hashlib
import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field

PREFIX = "tsr_"
FAMILY_ID_BYTES = 16
FAMILY_KEY_BYTES = 32
_COUNTER_BYTES = 6
_MAC_BYTES = 16
_CHECKSUM_BYTES = 4
_SIGNED_BYTES = FAMILY_ID_BYTES + _COUNTER_BYTES

_TOKEN = re.compile(rf"{PREFIX}([A-Za-z0-9_-]{{56}})")


@dataclass(frozen=True, slots=True)
class PresentedToken:
    """
    A refresh token as a client sent it; `verify` proves its origin.

    Attributes:
        family_id: Sixteen bytes.
        counter: Number of rotations before this token.
    """

    family_id: bytes
    counter: int
    mac: bytes = field(repr=False)


def make(family_id: bytes, counter: int, family_key: bytes) -> str:
    """
    Return the refresh token of a family for one value of its counter.

    Raises:
        OverflowError: The counter is negative or does not fit into six bytes.
    """
    body = family_id + counter.to_bytes(_COUNTER_BYTES)
    body += _mac(family_id, counter, family_key)
    return PREFIX + urlsafe_b64encode(body + _checksum(body)).decode("ascii")


def parse(unverified: str) -> PresentedToken | None:
    """Return the parts of a refresh token; `None` if the text has another form or checksum."""
    found = _TOKEN.fullmatch(unverified)
    if found is None:
        return None
    raw = urlsafe_b64decode(found[1])
    body, checksum = raw[:-_CHECKSUM_BYTES], raw[-_CHECKSUM_BYTES:]
    if not hmac.compare_digest(checksum, _checksum(body)):
        return None
    return PresentedToken(
        family_id=body[:FAMILY_ID_BYTES],
        counter=int.from_bytes(body[FAMILY_ID_BYTES:_SIGNED_BYTES]),
        mac=body[_SIGNED_BYTES:],
    )


def verify(presented: PresentedToken, family_key: bytes) -> bool:
    """Return whether the token was made with this key; takes the same time in either case."""
    expected = _mac(presented.family_id, presented.counter, family_key)
    return hmac.compare_digest(presented.mac, expected)


def _mac(family_id: bytes, counter: int, family_key: bytes) -> bytes:
    signed = family_id + counter.to_bytes(_COUNTER_BYTES)
    return hmac.digest(family_key, signed, "sha256")[:_MAC_BYTES]


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(PREFIX.encode("ascii") + body).digest()[:_CHECKSUM_BYTES]
