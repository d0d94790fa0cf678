"""
The keys of one issuer, kept so that a request with a known key never waits for the network.

Owns for how long old keys stand in, and what it means that a key is not there. PyJWT's own client
holds one lock during a fetch, which stalls every request behind a slow provider, and forgets its
keys when the provider fails.
"""

import threading
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import structlog

from tokensvc.core.clock import Clock
from tokensvc.core.errors import Code, Refusal
from tokensvc.issuers.keyset import KeySet, KeySetError, VerificationKey, parse_document
from tokensvc.issuers.settings import JwksSettings
from tokensvc.issuers.shared_fetch import SharedFetch
from tokensvc.issuers.store import IssuerKeyStore, StoredKeys
from tokensvc.net.fetch import FetchError
from tokensvc.telemetry import metrics

_log = structlog.get_logger()

_RETRY_WITHOUT_KEYS = 5
"""Seconds between two tries in the background while there is no key at all."""
_NOT_YET_TRIED = "not fetched yet"

State: TypeAlias = Literal["ok", "stale", "unavailable"]


@dataclass(frozen=True, slots=True)
class KeyHealth:
    """
    What an operator wants to know of an issuer's keys.

    Attributes:
        state: `stale`: old keys stand in; `unavailable`: its tokens get 503.
        keys: How many there are.
        fetched_at: Epoch seconds of the last good fetch.
        last_error: Why the last fetch failed; empty if it did not.
    """

    state: State
    keys: int
    fetched_at: int | None
    last_error: str


class Keys(Protocol):
    """Where the keys of an issuer come from."""

    def find(
        self, kid: str | None, algorithm: str, *, may_fetch: bool
    ) -> tuple[VerificationKey, ...]:
        """Give the keys that may have signed a token."""

    def refetch_and_find(
        self, kid: str | None, algorithm: str, tried: Container[VerificationKey]
    ) -> tuple[VerificationKey, ...]:
        """Give those that a fetch may find beside the tried ones."""

    def load(self) -> None:
        """Take the stored set up, if there is one."""

    def refresh_if_due(self) -> None:
        """Begin a fetch if it is time. Does not wait for it."""

    def refresh(self) -> None:
        """Fetch now, and wait for it."""

    def health(self) -> KeyHealth:
        """Tell how the keys are."""


class StaticKeys:
    """Keys from a file, the same for ever."""

    def __init__(self, keys: KeySet) -> None:
        self._keys = keys

    def find(
        self, kid: str | None, algorithm: str, *, may_fetch: bool
    ) -> tuple[VerificationKey, ...]:
        """Give the keys that may have signed a token."""
        del may_fetch
        return self._keys.find(kid, algorithm)

    def refetch_and_find(
        self, kid: str | None, algorithm: str, tried: Container[VerificationKey]
    ) -> tuple[VerificationKey, ...]:
        """Give none: there are no others."""
        del kid, algorithm, tried
        return ()

    def load(self) -> None:
        """Do nothing: they are here."""

    def refresh_if_due(self) -> None:
        """Do nothing: a changed file counts from the next start."""

    def refresh(self) -> None:
        """Do nothing, as `refresh_if_due`."""

    def health(self) -> KeyHealth:
        """Tell how many there are."""
        return KeyHealth("ok", self._keys.size, None, "")


@dataclass(frozen=True, slots=True)
class _KeySnapshot:
    """A set in use; replaced as a whole, so that readers need no lock."""

    keys: KeySet
    document: bytes
    fetched_at: float


class RemoteKeys:
    """
    Keys that the issuer publishes.

    Args:
        name: The configured name, for logs and metrics.
        issuer: The `iss`, under which the store keeps the set.
        source: The URL of the set, or of the metadata that names it.
        download: Fetches the set; raises `FetchError`.
        store: Keeps the last good set.
        settings: Times.
        places: Where requests wait for keys, whichever issuer's.
        clock: Decides how old keys are.
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
        wait_slots: threading.Semaphore,
        clock: Clock,
    ) -> None:
        self._name = name
        self._issuer = issuer
        self._source = source
        self._download = download
        self._store = store
        self._settings = settings
        self._clock = clock
        self._held: _KeySnapshot | None = None
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
        self, kid: str | None, algorithm: str, *, may_fetch: bool
    ) -> tuple[VerificationKey, ...]:
        """
        Give the keys that may have signed a token, usually one; none if the issuer has no such key.

        Args:
            kid: The token's.
            algorithm: The token's.
            may_fetch: Whether a key that is not among the known ones is worth a fetch.

        Raises:
            Refusal: `temporarily_unavailable`; whether the issuer has such a key is not known.
        """
        held = self._usable()
        if held is not None:
            found = held.keys.find(kid, algorithm)
            if found or not may_fetch:
                return found
        return self.refetch_and_find(kid, algorithm, ())

    def refetch_and_find(
        self, kid: str | None, algorithm: str, tried: Container[VerificationKey]
    ) -> tuple[VerificationKey, ...]:
        """
        Ask the issuer, unless it was within the cool-down, and give what may have signed a token.

        Args:
            kid: The token's.
            algorithm: The token's.
            tried: Keys that did not verify it.

        Raises:
            Refusal: `temporarily_unavailable`, as `find`.
        """
        is_current = self._shared_fetch.ask(cold=self._usable() is None)
        held = self._usable()
        if held is not None:
            found = held.keys.find(kid, algorithm)
            newer = tuple(key for key in found if key not in tried)
            if newer or (is_current and not self._last_error):
                return newer
        raise Refusal(
            Code.TEMPORARILY_UNAVAILABLE,
            "The keys of the token's issuer cannot be had now: try again shortly.",
            reason=f"keys of issuer {self._name}: {self._last_error or 'still being fetched'}",
            retry_after=self._shared_fetch.retry_after(),
        )

    def load(self) -> None:
        """Take the stored set up, if there is one; a failure is logged, never raised."""
        try:
            stored = self._store.load(self._issuer)
            if stored is None or stored.source != self._source:
                return
            document = stored.document.encode("utf-8")
            keys = parse_document(document)
        except Refusal as refusal:
            _log.warning("issuer_keys_not_loaded", issuer=self._name, reason=refusal.reason)
        except KeySetError as error:
            _log.warning("issuer_keys_not_loaded", issuer=self._name, reason=str(error))
        else:
            self._held = _KeySnapshot(keys, document, min(stored.fetched_at, self._clock()))

    def refresh_if_due(self) -> None:
        """Begin a fetch if the last one was long enough ago. Does not wait for it."""
        if not self._last_error:
            interval = self._settings.refresh
        elif self._usable() is not None:
            interval = self._settings.cooldown
        else:
            interval = min(self._settings.cooldown, _RETRY_WITHOUT_KEYS)
        self._shared_fetch.begin_if_due(interval)

    def refresh(self) -> None:
        """Fetch now, or join the fetch under way, and wait for its end."""
        self._shared_fetch.run()

    def health(self) -> KeyHealth:
        """Tell how the keys are."""
        held = self._held
        state: State = "stale" if self._last_error else "ok"
        return KeyHealth(
            state if self._usable() is not None else "unavailable",
            held.keys.size if held else 0,
            int(held.fetched_at) if held else None,
            self._last_error,
        )

    def _usable(self) -> _KeySnapshot | None:
        held = self._held
        if held is None or held.keys.size == 0:
            return None
        age = self._clock() - held.fetched_at
        return held if age <= self._settings.max_stale else None

    def _fetch(self) -> None:
        begun_at = self._clock()
        try:
            document = self._download()
            keys = parse_document(document)
        except (FetchError, KeySetError) as error:
            self._failed(str(error))
            _log.warning("issuer_keys_not_fetched", issuer=self._name, reason=str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not pass for good keys
            self._failed(type(error).__name__)
            _log.error("issuer_keys_not_fetched", issuer=self._name, exc_info=error)
        else:
            self._replace(_KeySnapshot(keys, document, begun_at))
            metrics.count_jwks_fetch(self._name, "ok")
            self._save(document, int(begun_at))

    def _replace(self, fetched: _KeySnapshot) -> None:
        """Take a whole set in place of the old: a key that is not in it is dropped at once."""
        before, self._held = self._held, fetched
        self._last_error = ""
        if before is None or before.document != fetched.document:
            keys = fetched.keys
            _log.info(
                "issuer_keys_changed", issuer=self._name, keys=keys.size, ignored=keys.ignored
            )

    def _failed(self, error: str) -> None:
        self._last_error = error
        metrics.count_jwks_fetch(self._name, "failed")

    def _save(self, document: bytes, fetched_at: int) -> None:
        stored = StoredKeys(self._source, document.decode("utf-8"), fetched_at)
        try:
            self._store.save(self._issuer, stored)
        except Refusal as refusal:
            _log.warning("issuer_keys_not_saved", issuer=self._name, reason=refusal.reason)
