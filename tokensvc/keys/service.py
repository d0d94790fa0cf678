"""A process' copy of the ring of Stream keys, and the first key of an empty ring."""

import secrets
import threading

import structlog

from tokensvc.core.clock import Clock
from tokensvc.core.errors import Code, Refusal, StartupError
from tokensvc.database.engine import Database
from tokensvc.keys.rules import MIN_SECRET_BYTES, KeyState, StreamKey, StreamKeyRing, fingerprint
from tokensvc.keys.store import StoredKey, StoredRing, StreamKeyStore
from tokensvc.keys.vault import Vault, VaultError

_log = structlog.get_logger(__name__)


class StreamKeyConflictError(StartupError):
    """The settings hold another secret for an API key that signs already."""


class WrappingKeyMissingError(StartupError):
    """The database holds secrets that no encryption key of this process unwraps."""


class StreamKeys:
    """
    The ring of Stream keys, decrypted once for each version of it.

    Args:
        clock: Dates the first key.
    """

    def __init__(self, database: Database, vault: Vault, clock: Clock) -> None:
        self._database = database
        self._vault = vault
        self._clock = clock
        self._store = StreamKeyStore(database)
        self._reload = threading.Lock()
        self._ring: StreamKeyRing | None = None
        self._keys: dict[tuple[str, str], StreamKey] = {}
        self._readable = True

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
                ring = self._ring = self._load()
        if ring.version < version:
            raise _unavailable("the ring went back in time: is this database a lagging replica?")
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
        return self.ring_at(stored.version).active is not None and self._readable

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
                "TOKENSVC_ENCRYPTION_KEYS (on SQLite, the .key file beside the database)."
            )

    def seed(self, api_key: str, secret: str) -> None:
        """
        Make the pair of the settings the active key of an empty ring; else compare it.

        Raises:
            StartupError: The secret is too short for HS256, or `StreamKeyConflictError`.
            Refusal: `temporarily_unavailable`.
        """
        raw = secret.encode("utf-8")
        if len(raw) < MIN_SECRET_BYTES:
            raise StartupError(
                f"STREAM_API_SECRET is shorter than {MIN_SECRET_BYTES} bytes: "
                "copy the whole secret from Stream's dashboard."
            )
        ciphertext, wrapped_by = self._vault.wrap(raw)
        key = StoredKey(api_key, fingerprint(raw), KeyState.ACTIVE, ciphertext, wrapped_by)
        with self._database.write() as tx:
            self._store.lock(tx)
            stored = self._store.every_key(tx)
            if not stored:
                key_id = f"key_{secrets.token_hex(8)}"
                self._store.add(tx, key_id, key, int(self._clock()))
        if stored:
            _compare(key, stored)

    def _load(self) -> StreamKeyRing:
        stored = self._store.read()
        try:
            self._keys = {key.pair: self._unwrap(key) for key in stored.keys}
            self._readable = True
        except VaultError as error:
            _log.critical("stream_keys_unreadable", version=stored.version)
            self._readable = False
            if not self._keys:
                raise _unavailable("a Stream key cannot be unwrapped") from error
            # The last good ring goes on, but never with a key that is retired by now.
            live = {key.pair for key in stored.keys}
            self._keys = {pair: key for pair, key in self._keys.items() if pair in live}
        return StreamKeyRing(stored.version, self._keys.values())

    def _unwrap(self, key: StoredKey) -> StreamKey:
        secret = self._vault.unwrap(key.secret_ciphertext or "")
        if fingerprint(secret) != key.fingerprint:
            raise VaultError("the ciphertext is another key's")
        return StreamKey(key.api_key, secret, key.state)

    def _uncovered(self, stored: StoredRing) -> set[str]:
        wrapped_by = {key.wrapped_by for key in stored.keys if key.wrapped_by is not None}
        return wrapped_by - self._vault.fingerprints


def _compare(configured: StoredKey, stored: list[StoredKey]) -> None:
    """Tell what the settings' pair means beside a ring: nothing, a warning or a halt."""
    live = [key for key in stored if key.state is not KeyState.RETIRED]
    if any(key.pair == configured.pair for key in live):
        return
    if any(key.api_key == configured.api_key for key in live):
        raise StreamKeyConflictError(
            f"STREAM_API_SECRET is not the secret that the ring holds for {configured.api_key}. "
            "If Stream's dashboard made a new one, bring it in with `tokensvc stream-keys add` and "
            "`tokensvc stream-keys activate`; else put the old one back into the settings."
        )
    _log.warning(
        "stream_key_not_in_ring",
        api_key=configured.api_key,
        fingerprint=configured.fingerprint,
        detail="STREAM_API_KEY is unknown to the ring, or retired, and signs nothing: "
        "bring it in with `tokensvc stream-keys add`, or take it out of the settings.",
    )


def _unavailable(reason: str) -> Refusal:
    return Refusal(
        Code.TEMPORARILY_UNAVAILABLE,
        "The service cannot read its Stream keys: an operator must look.",
        reason=reason,
        retry_after=30,
    )
