"""Verification of a pair: Stream accepts it, and it belongs to the same app as the ring."""

from collections.abc import Callable
from typing import TypeAlias

import structlog

from tokensvc.core.errors import Code, Refusal
from tokensvc.core.waiting import WaitSlots
from tokensvc.stream.api import AppIdentity, KeyCheck, StreamUnavailableError
from tokensvc.stream.keys import rules
from tokensvc.stream.keys.rules import StreamKeyInfo
from tokensvc.stream.keys.states import KeyState
from tokensvc.stream.keys.store import StoredKey, StreamKeyStore
from tokensvc.vault.vault import Vault, VaultError

CheckKeyPair: TypeAlias = Callable[[str, bytes], KeyCheck]
"""Check with Stream an API key and its secret; may raise `StreamUnavailableError`."""

_RETRY_AFTER = 10
_SKIP = "skip the check (`check` false, `--no-check`)"

_NOT_CHECKED = (
    "Not checked: if Stream rejects this pair, or it belongs to another Stream app, no client can "
    "connect with its tokens (code 43)."
)
_DELIVERY_OFF = "Not checked, because `stream.delivery` is off."

_log = structlog.get_logger(__name__)


class KeyPairVerifier:
    """
    Verifies pairs with Stream.

    Args:
        check_key_pair: Function that may take seconds; no transaction is open when it is called.
            `None`: Stream is not called, because delivery is off.
        wait_slots: Slots for requests that wait.
    """

    def __init__(
        self,
        store: StreamKeyStore,
        vault: Vault,
        check_key_pair: CheckKeyPair | None,
        wait_slots: WaitSlots,
    ) -> None:
        self._store = store
        self._vault = vault
        self._check_key_pair = check_key_pair
        self._wait_slots = wait_slots

    def verify(self, pair: tuple[str, bytes], *, key_id: str | None, check: bool) -> str | None:
        """
        Refuse a pair unless Stream accepts it, and it belongs to the same app as the ring.

        Args:
            pair: API key and secret.
            key_id: ID of the pair in the ring; `None` if it is new.
            check: Whether to verify.

        Returns:
            A warning if the pair was not verified.

        Raises:
            Refusal: `stream_key_invalid`; `temporarily_unavailable` if Stream cannot be reached or
                too many requests wait.
        """
        if not check:
            return _NOT_CHECKED
        if self._check_key_pair is None:
            return _DELIVERY_OFF
        try:
            with self._wait_slots.outside():
                self._verify(self._check_key_pair, pair, key_id)
        except StreamUnavailableError as error:
            problem = "Stream neither accepts nor rejects the pair"
            raise _not_verified(problem, reason=f"Not checked: {error}") from error
        return None

    def _verify(
        self, check_key_pair: CheckKeyPair, pair: tuple[str, bytes], key_id: str | None
    ) -> None:
        api_key = pair[0]
        found = check_key_pair(*pair)
        if found.app is None:
            raise rules.pair_invalid(
                f"Stream rejects the pair: copy the key and the secret of {api_key} from its "
                "dashboard.",
                # Without Stream's message: it names the API key, which may be the secret.
                reason=f"Stream's code {found.code}",
            )
        keys = [key for key in self._store.read().keys if key.info.id != key_id]
        for key in sorted(keys, key=lambda key: key.info.state is not KeyState.ACTIVE):
            if key.info.api_key == api_key:
                return  # an API key belongs to one app permanently
            ring_app = self._app_of(check_key_pair, key)
            if ring_app is None:
                continue
            if not found.app.is_same_as(ring_app):
                raise rules.pair_invalid(
                    f"{api_key} belongs to another Stream app than {key.info.api_key}: one "
                    "service mints for one app."
                )
            return
        if keys:
            raise rules.pair_invalid(
                "Cannot compare the Stream apps: no other key of the ring is readable and accepted "
                f"by Stream. Verify in the dashboard that the app is the same, then {_SKIP}."
            )

    def _app_of(
        self, check_key_pair: CheckKeyPair, key: StoredKey[StreamKeyInfo]
    ) -> AppIdentity | None:
        """Return the app of a key of the ring, if it is readable and Stream accepts it."""
        try:
            secret = self._vault.unwrap(key.ciphertext, key.info.fingerprint)
        except VaultError:
            return None
        check = check_key_pair(key.info.api_key, secret)
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
