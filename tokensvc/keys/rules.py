"""The states of a key, and which key signs for whom. Pure."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

MIN_SECRET_BYTES = 32
"""RFC 7518 section 3.2: an HS256 key is as long as its hash, or longer."""


class KeyState(StrEnum):
    """Where a key is in its life; every step can be undone but the last."""

    STANDBY = "standby"
    ACTIVE = "active"
    RETIRING = "retiring"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class StreamKey:
    """
    An API key of the Stream app with its secret.

    Attributes:
        api_key: Public; clients are built with it.
        secret: The HMAC key, the secret's UTF-8 bytes as the dashboard shows them.
        state: Not `retired`: a retired key has no secret.
    """

    api_key: str
    secret: bytes = field(repr=False)
    state: KeyState


def fingerprint(secret: bytes) -> str:
    """Give 16 hex digits that tell one secret from another and say nothing about either."""
    return hashlib.sha256(b"tokensvc key fingerprint\x00" + secret).hexdigest()[:16]


class StreamKeyRing:
    """
    The keys that sign, as of one version of the ring.

    Args:
        version: The ring's version that `keys` were read at.
        keys: Those not retired, newest first.
    """

    __slots__ = ("_by_api_key", "active", "keys", "version")

    def __init__(self, version: int, keys: Iterable[StreamKey]) -> None:
        self.version = version
        self.keys = tuple(keys)
        self.active: StreamKey | None = None
        self._by_api_key: dict[str, StreamKey] = {}
        for key in self.keys:
            if key.state is KeyState.ACTIVE:
                self.active = key
                self._by_api_key[key.api_key] = key
            else:
                self._by_api_key.setdefault(key.api_key, key)

    def named(self, api_key: str) -> StreamKey | None:
        """Give the key that signs for clients built with `api_key`: active, else the newest."""
        return self._by_api_key.get(api_key)
