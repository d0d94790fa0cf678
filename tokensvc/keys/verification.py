"""The proof of a new pair: Stream accepts it, and it is of the same Stream app as the ring."""

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

AskStream: TypeAlias = Callable[[str, bytes], KeyCheck]
"""Asks Stream what it says to an API key and a secret; raises `StreamUnavailableError`."""

_RETRY_AFTER = 10

_log = structlog.get_logger(__name__)


class KeyPairVerifier:
    """
    Lets Stream prove pairs.

    Args:
        ask_stream: Takes its time, and is called with no transaction open.
        places: Where requests wait for Stream; each holds a thread that could mint.
    """

    def __init__(
        self,
        store: StreamKeyStore,
        vault: Vault,
        ask_stream: AskStream,
        wait_slots: threading.Semaphore,
    ) -> None:
        self._store = store
        self._vault = vault
        self._ask_stream = ask_stream
        self._places = wait_slots

    def verify(self, api_key: str, secret: bytes) -> None:
        """
        Refuse a pair unless Stream accepts it, and it is of the same app.

        Raises:
            Refusal: `stream_key_invalid`; `conflict` or `temporarily_unavailable` when Stream
                gives no proof, or too many wait for one.
        """
        if not self._places.acquire(blocking=False):
            raise Refusal(
                Code.TEMPORARILY_UNAVAILABLE,
                "Too many requests wait for Stream or for issuers: try again, or add it without "
                "`check`.",
                reason="too many wait",
                retry_after=_RETRY_AFTER,
            )
        try:
            self._prove(api_key, secret)
        finally:
            self._places.release()

    def _prove(self, api_key: str, secret: bytes) -> None:
        found = self._ask(api_key, secret)
        if found is None:
            raise rules.invalid(
                f"Stream refuses the pair: look up both halves of {api_key} in its dashboard."
            )
        live = self._store.read().keys
        # An API key is of one app for ever, so another secret of it needs no comparison.
        if not live or any(key.info.api_key == api_key for key in live):
            return
        for key in sorted(live, key=lambda key: key.info.state is not KeyState.ACTIVE):
            ours = self._app_of(key)
            if ours is None:
                continue
            if not found.is_same_as(ours):
                raise rules.invalid(
                    f"{api_key} is of another Stream app than {key.info.api_key}: one service "
                    "mints for one app."
                )
            return
        raise Refusal(
            Code.CONFLICT,
            "Stream accepts the pair but none that can be read from the ring, so nothing tells "
            "whether it is of the same Stream app: make sure of that and add it without `check`.",
        )

    def _app_of(self, key: StoredKey) -> AppIdentity | None:
        """Give the app of a key of ours, unless Stream refuses it or it cannot be read."""
        try:
            secret = self._vault.unwrap(key.secret_ciphertext or "")
        except VaultError:
            return None
        found = self._ask(key.info.api_key, secret)
        if found is None:
            _log.warning("stream_key_refused", api_key=key.info.api_key)
        return found

    def _ask(self, api_key: str, secret: bytes) -> AppIdentity | None:
        """Give the app of a pair that Stream accepts."""
        try:
            check = self._ask_stream(api_key, secret)
        except StreamUnavailableError as error:
            raise Refusal(
                Code.TEMPORARILY_UNAVAILABLE,
                "Stream did not say whether the pair is good: try again, or add it without "
                "`check`.",
                reason=str(error),
                retry_after=_RETRY_AFTER,
            ) from error
        return check.app if check.accepted else None
