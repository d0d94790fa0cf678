"""The ring of Stream keys of a process, and its count of mints that named none of them."""

import operator
from collections.abc import Mapping, Sequence

import structlog

from tokensvc.core.clock import Clock
from tokensvc.core.errors import StartupError
from tokensvc.database.engine import Database, Transaction
from tokensvc.database.pending import PendingWrites
from tokensvc.standing.rules import RingVersion
from tokensvc.stream.keys.ring import DecryptedRing
from tokensvc.stream.keys.rules import StreamKey, StreamKeyInfo, StreamKeyRing
from tokensvc.stream.keys.states import KeyState
from tokensvc.stream.keys.store import HOUR, STREAM_KEYS, add_unnamed_mints
from tokensvc.vault.vault import Vault

_log = structlog.get_logger(__name__)


class StreamKeyConflictError(StartupError):
    """The settings contain another secret of an API key of the ring."""


class StreamKeys(DecryptedRing[StreamKeyInfo, StreamKeyRing]):
    """The keys that sign Stream user tokens."""

    _secrets_name = "Stream secrets"
    _none_active = "No Stream key is active."

    def __init__(self, database: Database, vault: Vault) -> None:
        super().__init__(database, vault, STREAM_KEYS)

    @property
    def active(self) -> StreamKey | None:
        """The active key of the ring that was loaded last."""
        return None if self._ring is None else self._ring.active

    def _build(
        self, version: RingVersion, keys: Sequence[StreamKeyInfo], secrets: Mapping[str, bytes]
    ) -> StreamKeyRing:
        return StreamKeyRing(
            version,
            [
                StreamKey(key.api_key, secrets[key.fingerprint], key.state)
                for key in keys
                if key.fingerprint in secrets
            ],
            unreadable={key.api_key for key in keys if key.fingerprint not in secrets},
        )


def would_seed(database: Database, api_key: str, secret: str) -> bool:
    """
    Return whether a start would make the key of the settings the first key; else check it.

    Raises:
        StreamKeyConflictError: The ring has this API key with another secret.
    """
    with database.read() as connection:
        keys = STREAM_KEYS.every_key(connection)
    if keys:
        check_configured_key(api_key, secret, keys)
    return not keys


def check_configured_key(api_key: str, secret: str, keys: Sequence[StreamKeyInfo]) -> None:
    """
    Compare the key of the settings with a ring. Log a warning if it signs nothing.

    Args:
        keys: All keys of the ring, retired ones too.

    Raises:
        StreamKeyConflictError: The ring has this API key with another secret.
    """
    configured = StreamKey(api_key, secret.encode("utf-8"), KeyState.ACTIVE)
    unretired = [key for key in keys if not key.is_retired]
    if configured.find_in(unretired):
        return
    # A key that was retired here is not a new secret: the settings are only outdated.
    is_in_ring = any(key.api_key == api_key for key in unretired)
    if is_in_ring and not configured.find_in(keys):
        raise StreamKeyConflictError(
            f"STREAM_API_SECRET is not the secret that the ring has for {api_key}. If Stream's "
            "dashboard created a new one, run `tokensvc stream-keys add` and "
            "`tokensvc stream-keys activate`; else restore the previous secret in the settings."
        )
    _log.warning(
        "stream_key_not_in_ring",
        api_key=api_key,
        fingerprint=configured.fingerprint,
        detail=f"STREAM_API_SECRET is a previous secret of {api_key}: set the new one, or remove "
        "both settings."
        if is_in_ring
        else "STREAM_API_KEY is not in the ring, or retired, and signs nothing: add it with "
        "`tokensvc stream-keys add`, or remove it from the settings.",
    )


def pending_counts(database: Database) -> PendingWrites[int]:
    """
    Return the counts by hour that are not written yet.

    A count written twice is too high: it warns too early, never too late.
    """
    return PendingWrites(database, operator.add, _write)


def count_mint(counts: PendingWrites[int], clock: Clock) -> None:
    """Count a mint whose request named no Stream key."""
    now = int(clock())
    counts.add(now - now % HOUR, 1)


def _write(tx: Transaction, numbers: Mapping[int, int]) -> None:
    # All processes write in this order, so that they cannot deadlock.
    for hour, count in sorted(numbers.items()):
        add_unnamed_mints(tx, hour, count)
