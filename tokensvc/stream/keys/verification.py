"""Verification of a key: Stream accepts it, and it belongs to the same app as the ring."""

from collections.abc import Callable
from typing import TypeAlias

import structlog

from tokensvc.core.errors import Code, Refusal
from tokensvc.database.engine import Database
from tokensvc.stream.app import StreamApp
from tokensvc.stream.keys import rules
from tokensvc.stream.keys.rules import StreamKey, StreamKeyInfo
from tokensvc.stream.keys.states import KeyState
from tokensvc.stream.keys.store import STREAM_KEYS, StoredKey
from tokensvc.stream.responses import KeyCheck, StreamUnavailableError
from tokensvc.vault.vault import Vault, VaultError

CheckKey: TypeAlias = Callable[[StreamKey], KeyCheck]
"""Check a key with Stream; may raise `StreamUnavailableError`."""

_RETRY_AFTER = 10
_SKIP = "skip the check (`check` false, `--no-check`)"

NOT_CHECKED = (
    "Not checked: if Stream rejects this Stream key, or it belongs to another Stream app, no "
    "client can connect with its tokens (code 43)."
)
DELIVERY_OFF = "Not checked, because `stream.delivery` is off."

_log = structlog.get_logger(__name__)


def verify(
    key: StreamKey,
    key_id: str | None,
    database: Database,
    *,
    check_key: CheckKey,
    vault: Vault,
) -> None:
    """
    Refuse a key unless Stream accepts it, and it belongs to the same app as the ring.

    Args:
        key_id: ID of the key in the ring; `None` if it is new.
        check_key: Function that may take seconds: no transaction may be open.

    Raises:
        Refusal: `stream_key_invalid`; `temporarily_unavailable` if Stream cannot be reached.
    """
    try:
        _check_with_stream(key, key_id, database, check_key, vault)
    except StreamUnavailableError as error:
        problem = "Stream neither accepts nor rejects this Stream key"
        raise _not_verified(problem, reason=f"Not checked: {error}") from error


def _check_with_stream(
    new: StreamKey,
    key_id: str | None,
    database: Database,
    check_key: CheckKey,
    vault: Vault,
) -> None:
    found = check_key(new)
    if found.app is None:
        raise rules.key_invalid(
            f"Stream rejects this Stream key: copy the API key {new.api_key} and its secret from "
            "Stream's dashboard.",
            # Without Stream's message: it names the API key, which may be the secret.
            reason=f"Stream's code {found.code}",
        )
    keys = [key for key in STREAM_KEYS.read(database).keys if key.info.id != key_id]
    for key in sorted(keys, key=lambda key: key.info.state is not KeyState.ACTIVE):
        if key.info.api_key == new.api_key:
            return  # an API key belongs to one app permanently
        ring_app = _app_of(key, check_key, vault)
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


def _app_of(key: StoredKey[StreamKeyInfo], check_key: CheckKey, vault: Vault) -> StreamApp | None:
    """Return the app of a key of the ring, if it is readable and Stream accepts it."""
    try:
        secret = vault.decrypt(key.ciphertext, key.info.fingerprint)
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
