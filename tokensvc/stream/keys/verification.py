"""Verification of a key: Stream accepts it, and it belongs to the same app as the ring."""

from collections.abc import Callable
from typing import TypeAlias

import structlog

from tokensvc.core.errors import Code, Refusal
from tokensvc.core.waiting import WaitSlots
from tokensvc.stream.api import AppIdentity, KeyCheck, StreamUnavailableError
from tokensvc.stream.keys import rules
from tokensvc.stream.keys.rules import StreamKey, StreamKeyInfo
from tokensvc.stream.keys.states import KeyState
from tokensvc.stream.keys.store import StoredKey, StreamKeyStore
from tokensvc.vault.vault import Vault, VaultError

CheckKey: TypeAlias = Callable[[StreamKey], KeyCheck]
"""Check a key with Stream; may raise `StreamUnavailableError`."""

_RETRY_AFTER = 10
_SKIP = "skip the check (`check` false, `--no-check`)"

_NOT_CHECKED = (
    "Not checked: if Stream rejects this pair, or it belongs to another Stream app, no client can "
    "connect with its tokens (code 43)."
)
_DELIVERY_OFF = "Not checked, because `stream.delivery` is off."

_log = structlog.get_logger(__name__)


class KeyVerifier:
    """
    Verifies keys with Stream.

    Args:
        check_key: Function that may take seconds; no transaction is open when it is called.
            `None`: Stream is not called, because delivery is off.
        wait_slots: Slots for requests that wait.
    """

    def __init__(
        self,
        store: StreamKeyStore,
        vault: Vault,
        check_key: CheckKey | None,
        wait_slots: WaitSlots,
    ) -> None:
        self._store = store
        self._vault = vault
        self._check_key = check_key
        self._wait_slots = wait_slots

    def verify(self, key: StreamKey, *, key_id: str | None, check: bool) -> str | None:
        """
        Refuse a key unless Stream accepts it, and it belongs to the same app as the ring.

        Args:
            key_id: ID of the key in the ring; `None` if it is new.
            check: Whether to verify.

        Returns:
            A warning if the key was not verified.

        Raises:
            Refusal: `stream_key_invalid`; `temporarily_unavailable` if Stream cannot be reached or
                too many requests wait.
        """
        if not check:
            return _NOT_CHECKED
        if self._check_key is None:
            return _DELIVERY_OFF
        try:
            with self._wait_slots.outside():
                self._verify(self._check_key, key, key_id)
        except StreamUnavailableError as error:
            problem = "Stream neither accepts nor rejects the pair"
            raise _not_verified(problem, reason=f"Not checked: {error}") from error
        return None

    def _verify(self, check_key: CheckKey, new: StreamKey, key_id: str | None) -> None:
        found = check_key(new)
        if found.app is None:
            raise rules.key_invalid(
                f"Stream rejects the pair: copy the key and the secret of {new.api_key} from its "
                "dashboard.",
                # Without Stream's message: it names the API key, which may be the secret.
                reason=f"Stream's code {found.code}",
            )
        keys = [key for key in self._store.read().keys if key.info.id != key_id]
        for key in sorted(keys, key=lambda key: key.info.state is not KeyState.ACTIVE):
            if key.info.api_key == new.api_key:
                return  # an API key belongs to one app permanently
            ring_app = self._app_of(check_key, key)
            if ring_app is None:
                continue
            if not found.app.is_same_as(ring_app):
                raise rules.key_invalid(
                    f"{new.api_key} belongs to another Stream app than {key.info.api_key}: one "
                    "service mints for one app."
                )
            return
        if keys:
            raise rules.key_invalid(
                "Cannot compare the Stream apps: no other key of the ring is readable and accepted "
                f"by Stream. Verify in the dashboard that the app is the same, then {_SKIP}."
            )

    def _app_of(self, check_key: CheckKey, key: StoredKey[StreamKeyInfo]) -> AppIdentity | None:
        """Return the app of a key of the ring, if it is readable and Stream accepts it."""
        try:
            secret = self._vault.unwrap(key.ciphertext, key.info.fingerprint)
        except VaultError:
            return None
        check = check_key(StreamKey(key.info.api_key, secret, key.info.state))
        if not check.accepted:
            _log.warning("stream_key_refused", api_key=key.info.api_key, detail=check.detail)
        return check.app


def _not_verified(problem: str, *, reason: str) -> Refusal:
    return Refusal(
        Code.TEMPORARILY_UNAVAILABLE,
        f"{problem}: retry, or {_SKIP}.",
        reason=f"{reason}: retry, or {_SKIP}.",
        retry_after=_RETRY_AFTER,
    )
