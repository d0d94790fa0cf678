"""A process' copy of the ring of Stream keys."""

import threading
from collections.abc import Sequence

import structlog

from tokensvc.core.errors import StartupError
from tokensvc.database.engine import Database
from tokensvc.keys.rules import (
    StreamKey,
    StreamKeyInfo,
    StreamKeyRing,
    fingerprint,
    unreadable_keys,
)
from tokensvc.keys.store import StoredKey, StoredRing, StreamKeyStore
from tokensvc.keys.vault import Vault, VaultError

_log = structlog.get_logger(__name__)


class WrappingKeyMissingError(StartupError):
    """The database holds secrets that no encryption key of this process unwraps."""


class StreamKeyConflictError(StartupError):
    """The settings hold another secret for an API key that signs already."""


class StreamKeys:
    """
    The ring of Stream keys, decrypted once for each version of it.

    A secret that cannot be unwrapped is the one that this process knows of that pair, if it knows
    one; else requests for that key are refused, and the process is not ready.
    """

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault
        self._store = StreamKeyStore(database)
        self._reload = threading.Lock()
        self._ring: StreamKeyRing | None = None
        self._secrets: dict[tuple[str, str], bytes] = {}
        self._unreadable: frozenset[str] = frozenset()

    def ring_at(self, version: int) -> StreamKeyRing:
        """
        Give the ring, not older than `version`: a key that was retired by then is not in it.

        Raises:
            Refusal: `temporarily_unavailable`.
        """
        ring = self._ring
        if ring is not None and ring.version >= version:
            return ring
        with self._reload:
            ring = self._ring
            if ring is None or ring.version < version:
                ring = self._load()
        if ring.version < version:
            raise unreadable_keys("the ring went back in time: is this database a lagging replica?")
        return ring

    def has_active(self) -> bool:
        """
        Tell whether a key signs for clients that name none, and every key can be read.

        Raises:
            Refusal: `temporarily_unavailable`.
        """
        stored = self._store.read()
        if self._uncovered(stored):
            return False
        if self._unreadable:
            with self._reload:
                self._load()  # the rows may be wrapped anew, which is no new version
        return self.ring_at(stored.version).active is not None and not self._unreadable

    def check_covered(self) -> None:
        """
        Refuse to go on without every encryption key that the stored secrets need.

        Raises:
            WrappingKeyMissingError: Names each missing key by its fingerprint.
            Refusal: `temporarily_unavailable`.
        """
        missing = self._uncovered(self._store.read())
        if missing:
            raise WrappingKeyMissingError(
                f"The database holds Stream secrets wrapped by {', '.join(sorted(missing))}, and "
                "no encryption key of this process has that fingerprint: put the key back into "
                "TOKENSVC_ENCRYPTION_KEYS (on SQLite, the .key file beside the database). If it is "
                "lost, see `tokensvc stream-keys add --help` for `--without-lost-keys`."
            )

    def unreadable(self) -> list[StreamKeyInfo]:
        """
        Give the keys whose secret cannot be had from the database, newest first.

        Raises:
            Refusal: `temporarily_unavailable`.
        """
        return [key.info for key in self._store.read().keys if not self._can_unwrap(key)]

    def would_seed(self, api_key: str, secret: str) -> bool:
        """
        Tell whether a start would make the settings' pair the first key; if not, compare it.

        Raises:
            StreamKeyConflictError: It is another secret of a live API key.
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
                secrets[key.info.pair] = self._unwrap(key)
            except VaultError:
                unreadable.add(key.info.id)
                if key.info.pair in self._secrets:
                    secrets[key.info.pair] = self._secrets[key.info.pair]
        if unreadable - self._unreadable:
            _log.critical(
                "stream_keys_unreadable",
                version=stored.version,
                keys=sorted(unreadable),
                missing_fingerprints=sorted(self._uncovered(stored)),
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

    def _unwrap(self, key: StoredKey) -> bytes:
        secret = self._vault.unwrap(key.secret_ciphertext or "")
        if fingerprint(secret) != key.info.fingerprint:
            raise VaultError("the ciphertext is another key's")
        return secret

    def _can_unwrap(self, key: StoredKey) -> bool:
        try:
            self._unwrap(key)
        except VaultError:
            return False
        return True

    def _uncovered(self, stored: StoredRing) -> set[str]:
        wrapped_by = {key.wrapped_by for key in stored.keys if key.wrapped_by is not None}
        return wrapped_by - self._vault.fingerprints


def check_configured_key(configured: tuple[str, str], keys: Sequence[StreamKeyInfo]) -> None:
    """
    Tell what the settings' pair means beside a ring: nothing, a warning or a halt.

    Args:
        configured: An API key and its secret's fingerprint.
        keys: All of the ring, the retired ones too.

    Raises:
        StreamKeyConflictError: It is another secret of a live API key.
    """
    api_key, secret_fingerprint = configured
    live = [key for key in keys if key.is_live]
    if any(key.pair == configured for key in live):
        return
    # A pair that was retired here is not a new secret: the settings are only behind the ring.
    known = any(key.pair == configured for key in keys)
    signs = any(key.api_key == api_key for key in live)
    if signs and not known:
        raise StreamKeyConflictError(
            f"STREAM_API_SECRET is not the secret that the ring holds for {api_key}. "
            "If Stream's dashboard made a new one, bring it in with `tokensvc stream-keys add` and "
            "`tokensvc stream-keys activate`; else put the old one back into the settings."
        )
    _log.warning(
        "stream_key_not_in_ring",
        api_key=api_key,
        fingerprint=secret_fingerprint,
        detail=f"STREAM_API_SECRET is a former secret of {api_key}: put the new one into the "
        "settings, or take both out."
        if signs
        else "STREAM_API_KEY is unknown to the ring, or retired, and signs nothing: "
        "bring it in with `tokensvc stream-keys add`, or take it out of the settings.",
    )
