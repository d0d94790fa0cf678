"""Verification of a new pair: Stream accepts it, and it belongs to the same app as the ring."""

import threading
from collections.abc import Callable
from typing import TypeAlias

import structlog

from tokensvc.core.errors import Code, Refusal
from tokensvc.keys import rules
from tokensvc.keys.rules import KeyState
from tokensvc.keys.store import StoredKey, StreamKeyStore
from tokensvc.keys.vault import Vault, VaultError
from tokensvc.stream.api import AppIdentity, KeyCheck, StreamUnavailableError

CheckKeyPair: TypeAlias = Callable[[str, bytes], KeyCheck]
"""Check with Stream an API key and its secret; may raise `StreamUnavailableError`."""

_RETRY_AFTER = 10

_log = structlog.get_logger(__name__)


class KeyPairVerifier:
    """
    Verifies pairs with Stream.

    Args:
        ask_stream: Function that may take seconds; no transaction is open when it is called.
        wait_slots: Limit on requests that wait for other services; each one holds a thread.
    """

    def __init__(
        self,
        store: StreamKeyStore,
        vault: Vault,
        check_key_pair: CheckKeyPair,
        wait_slots: threading.Semaphore,
    ) -> None:
        self._store = store
        self._vault = vault
        self._check_key_pair = check_key_pair
        self._wait_slots = wait_slots

    def verify(self, api_key: str, secret: bytes) -> None:
        """
        Refuse a pair unless Stream accepts it, and it belongs to the same app as the ring.

        Raises:
            Refusal: `stream_key_invalid`; `conflict` if no key of the ring can be compared;
                `temporarily_unavailable` if Stream cannot be reached or too many requests wait.
        """
        if not self._wait_slots.acquire(blocking=False):
            raise Refusal(
                Code.TEMPORARILY_UNAVAILABLE,
                "Too many requests wait for Stream or for issuers: retry, or omit `check`.",
                reason="too many requests wait",
                retry_after=_RETRY_AFTER,
            )
        try:
            self._verify(api_key, secret)
        finally:
            self._wait_slots.release()

    def _verify(self, api_key: str, secret: bytes) -> None:
        app = self._app_of(api_key, secret)
        if app is None:
            raise rules.pair_invalid(
                f"Stream rejects the pair: copy the key and the secret of {api_key} from its "
                "dashboard."
            )
        keys = self._store.read().keys
        # An API key belongs to one app permanently, so another secret needs no comparison.
        if not keys or any(key.info.api_key == api_key for key in keys):
            return
        for key in sorted(keys, key=lambda key: key.info.state is not KeyState.ACTIVE):
            ring_app = self._app_of_ring(key)
            if ring_app is None:
                continue
            if not app.is_same_as(ring_app):
                raise rules.pair_invalid(
                    f"{api_key} belongs to another Stream app than {key.info.api_key}: one "
                    "service mints for one app."
                )
            return
        raise Refusal(
            Code.CONFLICT, "Cannot compare the Stream apps. Verify them, then omit `check`."
        )

    def _app_of_ring(self, key: StoredKey) -> AppIdentity | None:
        """Return the app of a key of the ring, if it is readable and Stream accepts it."""
        try:
            secret = self._vault.unwrap(key.ciphertext, key.info.fingerprint)
        except VaultError:
            return None
        app = self._app_of(key.info.api_key, secret)
        if app is None:
            _log.warning("stream_key_refused", api_key=key.info.api_key)
        return app

    def _app_of(self, api_key: str, secret: bytes) -> AppIdentity | None:
        """Return the app of a pair, if Stream accepts it."""
        try:
            check = self._check_key_pair(api_key, secret)
        except StreamUnavailableError as error:
            raise Refusal(
                Code.TEMPORARILY_UNAVAILABLE,
                "Stream did not respond: retry, or omit `check`.",
                reason=str(error),
                retry_after=_RETRY_AFTER,
            ) from error
        return check.app if check.accepted else None
