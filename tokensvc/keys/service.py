"""The decrypted key ring of a process."""

import threading
from collections.abc import Sequence

import structlog

from tokensvc.core import deadline
from tokensvc.core.errors import StartupError
from tokensvc.database.engine import Database
from tokensvc.database.failures import unavailable_because
from tokensvc.keys.rules import (
    StreamKey,
    StreamKeyInfo,
    StreamKeyRing,
    fingerprint,
    keys_unreadable,
)
from tokensvc.keys.store import StoredRing, StreamKeyStore
from tokensvc.keys.vault import Vault, VaultError, WrappingKeyMissingError
from tokensvc.standing.rules import RingVersion

_KEY_MISSING = "An encryption key is missing."

_log = structlog.get_logger(__name__)

_RELOAD_SECONDS = 3.0
"""Longest wait for another thread's reload of the ring."""


class StreamKeyConflictError(StartupError):
    """The settings contain another secret of an API key of the ring."""


class StreamKeys:
    """
    The key ring, decrypted once for each version.

    If a secret cannot be unwrapped, the process is not ready. If it unwrapped that secret before,
    it still uses it. Otherwise it refuses requests for that key.
    """

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault
        self._store = StreamKeyStore(database)
        self._reload = threading.Lock()
        self._ring: StreamKeyRing | None = None
        self._secrets: dict[tuple[str, str], bytes] = {}
        self._unreadable: frozenset[str] = frozenset()

    def ring_at(self, version: RingVersion) -> StreamKeyRing:
        """
        Return the ring of a version that was just read, or a later one.

        Any other version than that of the loaded ring causes a reload, a lower one too: a database
        that was set back decides which keys sign.

        Raises:
            Refusal: `temporarily_unavailable`.
        """
        ring = self._ring
        if ring is not None and ring.version == version:
            return ring
        # The thread that reloads may wait for a database that does not respond.
        if not self._reload.acquire(timeout=deadline.remaining(_RELOAD_SECONDS)):
            raise unavailable_because("another thread is reading the key ring")
        try:
            ring = self._ring
            if ring is None or ring.version != version:
                ring = self._load()
        finally:
            self._reload.release()
        if ring.version.counter < version.counter:
            raise keys_unreadable("the ring is older than its version: is this a lagging replica?")
        return ring

    def current_ring(self) -> StreamKeyRing:
        """
        Load the ring.

        Raises:
            Refusal: `temporarily_unavailable`.
        """
        with self._reload:
            return self._load()

    @property
    def active(self) -> StreamKey | None:
        """The active key of the ring that was loaded last."""
        return None if self._ring is None else self._ring.active

    def problem(self) -> str:
        """
        Return what prevents this process from signing with every key; empty if nothing does.

        Raises:
            Refusal: `temporarily_unavailable`.
        """
        stored = self._store.read()
        missing = self._missing_encryption_keys(stored)
        if missing:
            return str(WrappingKeyMissingError(missing, _KEY_MISSING))
        if self._unreadable:
            self.current_ring()  # re-encryption changes rows without a new version
        ring = self.ring_at(stored.version)
        if self._unreadable:
            return f"Damaged secrets: {', '.join(sorted(self._unreadable))}. See `tokensvc doctor`."
        return "" if ring.active is not None else "No Stream key is active."

    def check_encryption_keys(self) -> None:
        """
        Check that this process has every encryption key that the stored secrets need.

        Raises:
            WrappingKeyMissingError: A key is missing. The text has its fingerprint.
            Refusal: `temporarily_unavailable`.
        """
        missing = self._missing_encryption_keys(self._store.read())
        if missing:
            raise WrappingKeyMissingError(missing, _KEY_MISSING)

    def damaged(self) -> list[StreamKeyInfo]:
        """
        Return the keys whose secret this process has the encryption key of, but cannot unwrap.

        Raises:
            Refusal: `temporarily_unavailable`.
        """
        return [
            key.info
            for key in self._store.read().keys
            if key.wrapped_by in self._vault.fingerprints
            and not self._vault.can_unwrap(key.ciphertext, key.info.fingerprint)
        ]

    def would_seed(self, api_key: str, secret: str) -> bool:
        """
        Return whether a start would make the pair of the settings the first key; else check it.

        Raises:
            StreamKeyConflictError: The ring has this API key with another secret.
            Refusal: `temporarily_unavailable`.
        """
        with self._database.read() as connection:
            keys = self._store.every_key(connection)
        if keys:
            check_configured_key((api_key, fingerprint(secret.encode("utf-8"))), keys)
        return not keys

    def _load(self) -> StreamKeyRing:
        stored = self._store.read()
        secrets, unreadable = {}, set()
        for key in stored.keys:
            try:
                secrets[key.info.pair] = self._vault.unwrap(key.ciphertext, key.info.fingerprint)
            except VaultError:
                unreadable.add(key.info.id)
                if key.info.pair in self._secrets:
                    secrets[key.info.pair] = self._secrets[key.info.pair]
        if unreadable - self._unreadable:
            _log.critical(
                "stream_keys_unreadable",
                version=stored.version,
                keys=sorted(unreadable),
                missing_fingerprints=sorted(self._missing_encryption_keys(stored)),
            )
        self._secrets, self._unreadable = secrets, frozenset(unreadable)
        infos = [key.info for key in stored.keys]
        self._ring = StreamKeyRing(
            stored.version,
            (
                StreamKey(info.api_key, secrets[info.pair], info.state)
                for info in infos
                if info.pair in secrets
            ),
            unreadable=(info.api_key for info in infos if info.pair not in secrets),
        )
        return self._ring

    def _missing_encryption_keys(self, stored: StoredRing) -> set[str]:
        wrapped_by = {key.wrapped_by for key in stored.keys}
        return wrapped_by - self._vault.fingerprints


def check_configured_key(configured: tuple[str, str], keys: Sequence[StreamKeyInfo]) -> None:
    """
    Compare the pair of the settings with a ring. Log a warning if it signs nothing.

    Args:
        configured: API key and fingerprint of the secret.
        keys: All keys of the ring, retired ones too.

    Raises:
        StreamKeyConflictError: The ring has this API key with another secret.
    """
    api_key, secret_fingerprint = configured
    live = [key for key in keys if key.is_live]
    if any(key.pair == configured for key in live):
        return
    # A pair that was retired here is not a new secret: the settings are only outdated.
    is_known = any(key.pair == configured for key in keys)
    is_live = any(key.api_key == api_key for key in live)
    if is_live and not is_known:
        raise StreamKeyConflictError(
            f"STREAM_API_SECRET is not the secret that the ring has for {api_key}. If Stream's "
            "dashboard created a new one, run `tokensvc stream-keys add` and "
            "`tokensvc stream-keys activate`; else restore the previous secret in the settings."
        )
    _log.warning(
        "stream_key_not_in_ring",
        api_key=api_key,
        fingerprint=secret_fingerprint,
        detail=f"STREAM_API_SECRET is a previous secret of {api_key}: set the new one, or remove "
        "both settings."
        if is_live
        else "STREAM_API_KEY is not in the ring, or retired, and signs nothing: add it with "
        "`tokensvc stream-keys add`, or remove it from the settings.",
    )
