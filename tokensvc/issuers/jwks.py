"""
The cached keys of one issuer: a request with a known key never waits for the network.

Owns how long old keys are used, and what an unknown key means. PyJWT's client holds one lock during
a fetch, so a slow provider blocks every request, and it discards its keys when the provider fails.
"""

from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import structlog

from tokensvc.core.clock import Clock
from tokensvc.core.errors import Code, Refusal
from tokensvc.core.waiting import WaitSlots
from tokensvc.issuers.keyset import KeySet, KeySetError, VerificationKey, parse_document
from tokensvc.issuers.settings import JwksSettings
from tokensvc.issuers.shared_fetch import SharedFetch
from tokensvc.issuers.store import IssuerKeyStore, StoredKeys
from tokensvc.net.fetch import FetchError
from tokensvc.telemetry import metrics

_log = structlog.get_logger()

_RETRY_WITHOUT_KEYS = 5
"""Seconds between background fetches while there are no keys."""
_NOT_YET_TRIED = "not fetched yet"

State: TypeAlias = Literal["ok", "stale", "unavailable"]
KeyName: TypeAlias = tuple[str | None, str]
"""Key ID and algorithm of a token."""


@dataclass(frozen=True, slots=True)
class KeyHealth:
    """
    State of an issuer's keys.

    Attributes:
        state: `stale`: old keys are used, because the last fetch failed; `unavailable`: tokens of
            the issuer get 503.
        keys: Number of keys.
        fetched_at: Epoch seconds of the last successful fetch.
        last_error: Reason of the last fetch's failure; empty after a success.
    """

    state: State
    keys: int
    fetched_at: int | None
    last_error: str


class Keys(Protocol):
    """Source of an issuer's keys."""

    def find(
        self, name: KeyName, *, may_fetch: bool, sender_repeats: bool = False
    ) -> tuple[VerificationKey, ...]:
        """Return the keys that may have signed a token."""

    def refetch_and_find(
        self, name: KeyName, tried: Container[VerificationKey], *, sender_repeats: bool = False
    ) -> tuple[VerificationKey, ...]:
        """Return keys that a fetch finds in addition to those already tried."""

    def load(self) -> None:
        """Load the stored set, if there is one."""

    def refresh_if_due(self) -> None:
        """Start a fetch if it is due; do not wait for it."""

    def refresh(self) -> None:
        """Fetch now, and wait for the end."""

    def health(self) -> KeyHealth:
        """Return the state of the keys."""


class StaticKeys:
    """Keys from a file. They do not change until the settings are read again."""

    def __init__(self, keys: KeySet) -> None:
        self._keys = keys

    def find(
        self, name: KeyName, *, may_fetch: bool, sender_repeats: bool = False
    ) -> tuple[VerificationKey, ...]:
        """Return the keys that may have signed a token."""
        del may_fetch, sender_repeats
        return self._keys.find(*name)

    def refetch_and_find(
        self, name: KeyName, tried: Container[VerificationKey], *, sender_repeats: bool = False
    ) -> tuple[VerificationKey, ...]:
        """Return none: there are no others."""
        del name, tried, sender_repeats
        return ()

    def load(self) -> None:
        """Do nothing: the keys are loaded, and a changed file applies after SIGHUP."""

    refresh_if_due = refresh = load

    def health(self) -> KeyHealth:
        """Return the number of keys."""
        return KeyHealth("ok", self._keys.size, None, "")


@dataclass(frozen=True, slots=True)
class _KeySnapshot:
    """The key set in use. It is replaced as a whole, so readers need no lock."""

    keys: KeySet
    document: bytes
    fetched_at: float


class RemoteKeys:
    """
    Keys that the issuer publishes.

    Args:
        name: Configured name, for logs and metrics.
        issuer: `iss`, the key of the set in the store.
        source: URL of the set, or of the metadata that names it.
        download: Fetches the set; raises `FetchError`.
        store: Stores the last valid set.
        settings: Intervals and time-outs.
        wait_slots: Slots for requests that wait.
        clock: Epoch seconds, for the age of the keys.
    """

    def __init__(
        self,
        *,
        name: str,
        issuer: str,
        source: str,
        download: Callable[[], bytes],
        store: IssuerKeyStore,
        settings: JwksSettings,
        wait_slots: WaitSlots,
        clock: Clock,
    ) -> None:
        self._name = name
        self._issuer = issuer
        self._source = source
        self._download = download
        self._store = store
        self._settings = settings
        self._clock = clock
        self._snapshot: _KeySnapshot | None = None
        self._last_error = _NOT_YET_TRIED
        self._shared_fetch = SharedFetch(
            f"keys of {name}",
            self._fetch,
            timeout=settings.timeout,
            cooldown=settings.cooldown,
            wait_slots=wait_slots,
            clock=clock,
        )

    def find(
        self, name: KeyName, *, may_fetch: bool, sender_repeats: bool = False
    ) -> tuple[VerificationKey, ...]:
        """
        Return the keys that may have signed a token, usually one; empty for an unknown key.

        Args:
            name: Key ID and algorithm of the token.
            may_fetch: Whether an unknown key causes a fetch.
            sender_repeats: Whether the sender repeats a request that gets 503, and no other. Then
                an unknown key may be a new one also within the cool-down.

        Raises:
            Refusal: `temporarily_unavailable` if it is unknown whether the issuer has such a key.
        """
        snapshot = self._usable()
        if snapshot is not None:
            found = snapshot.keys.find(*name)
            if found or not may_fetch:
                return found
        return self.refetch_and_find(name, (), sender_repeats=sender_repeats)

    def refetch_and_find(
        self, name: KeyName, tried: Container[VerificationKey], *, sender_repeats: bool = False
    ) -> tuple[VerificationKey, ...]:
        """
        Fetch, unless within the cool-down, and return the new keys that may have signed a token.

        Args:
            name: As for `find`.
            tried: Keys that did not verify the token.
            sender_repeats: As for `find`.

        Raises:
            Refusal: `temporarily_unavailable`, as `find`.
        """
        is_current = self._shared_fetch.request(
            cold=self._usable() is None, counts_in_cooldown=not sender_repeats
        )
        snapshot = self._usable()
        if snapshot is not None:
            found = snapshot.keys.find(*name)
            newer = tuple(key for key in found if key not in tried)
            if newer or (is_current and not self._last_error):
                return newer
        raise Refusal(
            Code.TEMPORARILY_UNAVAILABLE,
            "The issuer's keys are unavailable. Retry later.",
            reason=f"keys of issuer {self._name}: {self._last_error or 'not fetched again yet'}",
            retry_after=self._shared_fetch.retry_after(),
        )

    def load(self) -> None:
        """Load the stored set, if there is one; a failure is logged, not raised."""
        try:
            stored = self._store.load(self._issuer)
            if stored is None or stored.source != self._source:
                return
            document = stored.document.encode("utf-8")
            keys = parse_document(document)
        except Refusal as refusal:
            _log.warning("issuer_keys_load_failed", issuer=self._name, reason=refusal.reason)
        except KeySetError as error:
            _log.warning("issuer_keys_load_failed", issuer=self._name, reason=str(error))
        else:
            self._snapshot = _KeySnapshot(keys, document, min(stored.fetched_at, self._clock()))

    def refresh_if_due(self) -> None:
        """Start a fetch if the last one started long enough ago; do not wait for it."""
        if not self._last_error:
            interval = self._settings.refresh
        elif self._usable() is not None:
            interval = self._settings.cooldown
        else:
            interval = min(self._settings.cooldown, _RETRY_WITHOUT_KEYS)
        self._shared_fetch.start_if_due(interval)

    def refresh(self) -> None:
        """Fetch now, or join the running fetch, and wait for its end."""
        self._shared_fetch.run()

    def health(self) -> KeyHealth:
        """Return the state of the keys."""
        snapshot = self._snapshot
        state: State = "stale" if self._last_error else "ok"
        return KeyHealth(
            state if self._usable() is not None else "unavailable",
            snapshot.keys.size if snapshot else 0,
            int(snapshot.fetched_at) if snapshot else None,
            self._last_error,
        )

    def _usable(self) -> _KeySnapshot | None:
        snapshot = self._snapshot
        if snapshot is None or snapshot.keys.size == 0:
            return None
        age = self._clock() - snapshot.fetched_at
        return snapshot if age <= self._settings.max_stale else None

    def _fetch(self) -> None:
        started_at = self._clock()
        try:
            document = self._download()
            keys = parse_document(document)
        except (FetchError, KeySetError) as error:
            self._fail(str(error), _log.warning, reason=str(error))
        except Exception as error:  # noqa: BLE001 - no error may count as a success
            self._fail(type(error).__name__, _log.error, exc_info=error)
        else:
            self._replace(_KeySnapshot(keys, document, started_at))
            metrics.count_jwks_fetch(self._name, "ok")
            self._save(document, int(started_at))

    def _replace(self, fetched: _KeySnapshot) -> None:
        """Replace the whole set: a key that is not in the new one is dropped immediately."""
        previous, self._snapshot = self._snapshot, fetched
        if self._last_error not in {"", _NOT_YET_TRIED}:
            _log.info("issuer_keys_fetch_recovered", issuer=self._name)
        self._last_error = ""
        if previous is None or previous.document != fetched.document:
            keys = fetched.keys
            _log.info(
                "issuer_keys_changed", issuer=self._name, keys=keys.size, ignored=keys.ignored
            )

    def _fail(self, error: str, log: Callable[..., object], **details: object) -> None:
        """Keep the reason of a failed fetch, and log it unless it is that of the last one."""
        if error != self._last_error:
            log("issuer_keys_fetch_failed", issuer=self._name, **details)
        self._last_error = error
        metrics.count_jwks_fetch(self._name, "failed")

    def _save(self, document: bytes, fetched_at: int) -> None:
        try:
            self._store.save(self._issuer, StoredKeys(self._source, document.decode(), fetched_at))
        except Refusal as refusal:
            _log.warning("issuer_keys_save_failed", issuer=self._name, reason=refusal.reason)
