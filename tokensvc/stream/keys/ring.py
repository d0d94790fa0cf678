"""A key ring of a process, decrypted once for each version. Both rings extend it."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Generic, Protocol, TypeVar

import structlog

from tokensvc.core import deadline
from tokensvc.core.findings import Finding, State
from tokensvc.database.engine import Database
from tokensvc.database.failures import unavailable_because
from tokensvc.standing.rules import RingVersion
from tokensvc.stream.keys.states import InfoT, keys_unreadable
from tokensvc.stream.keys.store import RingStore, StoredRing
from tokensvc.vault.vault import EncryptionKeyMissingError, Vault, VaultError

KEY_MISSING = "An encryption key is missing."

_RELOAD_SECONDS = 3.0
"""Longest wait for another thread's reload of the ring."""

_log = structlog.get_logger(__name__)


class Versioned(Protocol):
    """The keys of one version of a ring."""

    version: RingVersion

    @property
    def active(self) -> object | None:
        """The active key, if this process can read it."""


RingT = TypeVar("RingT", bound=Versioned)


class DecryptedRing(ABC, Generic[InfoT, RingT]):
    """
    The keys of a ring with their secrets.

    If a secret cannot be decrypted, the process is not ready. If it decrypted that secret before,
    it still uses it. Otherwise it refuses requests for that key.

    Args:
        store: Store of the ring.
    """

    _secrets_name: ClassVar[str]
    """Name of the secrets in the log."""
    _none_active: ClassVar[str]
    """Problem of a ring without an active key."""

    def __init__(self, database: Database, vault: Vault, store: RingStore[InfoT]) -> None:
        self._database = database
        self._vault = vault
        self._store = store
        self._reload = threading.Lock()
        self._ring: RingT | None = None
        self._secrets: dict[str, bytes] = {}
        self._unreadable: frozenset[str] = frozenset()

    @abstractmethod
    def _build(
        self, version: RingVersion, keys: Sequence[InfoT], secrets: Mapping[str, bytes]
    ) -> RingT:
        """
        Return the keys of a version.

        Args:
            keys: Keys that are not retired, newest first.
            secrets: Secrets by their fingerprint. Those that cannot be decrypted are missing.
        """

    def ring_at(self, version: RingVersion) -> RingT:
        """
        Return the ring of a version that was just read, or a later one.

        Any other version than that of the loaded ring causes a reload, a lower one too: a database
        that was set back decides which keys sign.
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

    def current_ring(self) -> RingT:
        """Load the ring, also if its version is the loaded one."""
        with self._reload:
            return self._load()

    def problem(self) -> Finding | None:
        """Return what prevents this process from signing with every key."""
        stored = self._store.read(self._database)
        missing = self._missing_encryption_keys(stored)
        if missing:
            return Finding(State.FAILED, str(EncryptionKeyMissingError(missing, KEY_MISSING)))
        if self._unreadable:
            self.current_ring()  # re-encryption changes rows without a new version
        ring = self.ring_at(stored.version)
        if self._unreadable:
            damaged = ", ".join(sorted(self._unreadable))
            return Finding(State.FAILED, f"Damaged secrets: {damaged}. See `tokensvc doctor`.")
        none_active = Finding(State.FAILED, self._none_active, is_shared=True)
        return none_active if ring.active is None else None

    def unretired_keys(self) -> list[InfoT]:
        """Return the keys that are not retired, newest first."""
        return [key.info for key in self._store.read(self._database).keys]

    def check_encryption_keys(self) -> None:
        """
        Check that this process has every encryption key that the stored secrets need.

        Raises:
            EncryptionKeyMissingError: A key is missing. The text has its fingerprint.
        """
        missing = self.missing_encryption_keys()
        if missing:
            raise EncryptionKeyMissingError(missing, KEY_MISSING)

    def missing_encryption_keys(self) -> set[str]:
        """Return the fingerprints of keys that the stored secrets need and this process lacks."""
        return self._missing_encryption_keys(self._store.read(self._database))

    def damaged(self) -> list[InfoT]:
        """Return the keys that this process cannot decrypt although it has their encryption key."""
        return [
            key.info
            for key in self._store.read(self._database).keys
            if key.encrypted_with in self._vault.fingerprints
            and not self._vault.can_decrypt(key.ciphertext, key.info.fingerprint)
        ]

    def _load(self) -> RingT:
        stored = self._store.read(self._database)
        secrets, unreadable = {}, set()
        for key in stored.keys:
            known = key.info.fingerprint
            try:
                secrets[known] = self._vault.decrypt(key.ciphertext, known)
            except VaultError:
                unreadable.add(key.info.id)
                if known in self._secrets:
                    secrets[known] = self._secrets[known]
        if unreadable - self._unreadable:
            _log.critical(
                "keys_unreadable",
                secrets=self._secrets_name,
                version=stored.version,
                keys=sorted(unreadable),
                missing_fingerprints=sorted(self._missing_encryption_keys(stored)),
            )
        self._secrets, self._unreadable = secrets, frozenset(unreadable)
        infos = [key.info for key in stored.keys]
        self._ring = self._build(stored.version, infos, secrets)
        return self._ring

    def _missing_encryption_keys(self, stored: StoredRing[InfoT]) -> set[str]:
        encrypted_with = {key.encrypted_with for key in stored.keys}
        return encrypted_with - self._vault.fingerprints
