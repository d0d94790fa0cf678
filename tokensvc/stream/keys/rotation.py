"""Actions on the ring of Stream keys."""

from collections.abc import Sequence
from typing import ClassVar

import msgspec
from msgspec import UNSET, UnsetType

from tokensvc.audit.rules import Action
from tokensvc.audit.store import record
from tokensvc.core.actions import ActionContext
from tokensvc.core.waiting import WaitSlots
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Connection, Database, Transaction
from tokensvc.standing import ring_versions
from tokensvc.stream.keys import rules, store
from tokensvc.stream.keys.actions import RingActions
from tokensvc.stream.keys.rules import StreamKey, StreamKeyInfo
from tokensvc.stream.keys.service import check_configured_key
from tokensvc.stream.keys.states import (
    KeyState,
    Transition,
    find,
    keys_unreadable,
    retirement_steps,
)
from tokensvc.stream.keys.store import STREAM_KEYS
from tokensvc.stream.keys.verification import DELIVERY_OFF, NOT_CHECKED, CheckKey, verify
from tokensvc.vault.vault import Vault, VaultError

_DAY = 86400
_SETTINGS = ActionContext("service:settings")
_IF_ACTIVE = "This is the active key. Activate another key first."
_RETIRED = (
    "The service no longer uses this key; Stream accepts it until you remove it in the dashboard."
)


class StreamKeyActionResult(StreamKeyInfo, frozen=True, kw_only=True):
    """
    State of a key after an action.

    Attributes:
        also_changed: Other keys that the action changed, in their new states.
        unnamed_mints: Number of tokens minted in the last 24 hours for clients that named no key.
            Only after an activation.
        warning: Consequence of the action that the caller must know.
        dry_run: Present and `true` if nothing was changed.
    """

    also_changed: list[StreamKeyInfo] | UnsetType = UNSET
    unnamed_mints: int | UnsetType = UNSET
    warning: str | UnsetType = UNSET
    dry_run: bool | UnsetType = UNSET


class StreamKeyRotation(RingActions[StreamKeyInfo]):
    """
    Adds Stream keys to the ring, activates and retires them.

    Args:
        check_key: Function that asks Stream about a key; `None` if delivery is off.
        wait_slots: Slots for requests that wait.
    """

    _id_prefix = "key"
    _added = Action.STREAM_KEY_ADDED
    _changed: ClassVar = {
        KeyState.ACTIVE: Action.STREAM_KEY_ACTIVATED,
        KeyState.RETIRING: Action.STREAM_KEY_RETIRING,
        KeyState.RETIRED: Action.STREAM_KEY_RETIRED,
    }

    def __init__(
        self,
        database: Database,
        database_clock: DatabaseClock,
        vault: Vault,
        check_key: CheckKey | None,
        *,
        wait_slots: WaitSlots,
    ) -> None:
        super().__init__(database, database_clock, vault, STREAM_KEYS)
        self._check_key = check_key
        self._wait_slots = wait_slots

    def add(
        self, api_key: str, secret: bytes, context: ActionContext, *, check: bool
    ) -> StreamKeyActionResult:
        """
        Add a key as standby, which signs for clients that name it.

        Args:
            check: Whether Stream must first accept the key as one of the same Stream app.

        Raises:
            Refusal: `stream_key_invalid`; with `check` also `temporarily_unavailable`. Nothing is
                stored then.
        """
        new = StreamKey(api_key, secret, KeyState.STANDBY)
        with self._database.read() as connection:
            rules.check_new_key(self._store.every_key(connection), new)
        # Without a transaction: it may take seconds.
        warning = self._verify(new, key_id=None, check=check)
        with self._database.write(dry_run=context.dry_run) as tx:
            ring_versions.lock(tx)
            rules.check_new_key(self._store.every_key(tx), new)
            key = self._add_key(tx, new, context)
        return _result(key, context, warning)

    def restore(
        self, api_key: str, secret: bytes, context: ActionContext, *, check: bool
    ) -> StreamKeyActionResult | None:
        """
        Store the secret of a key again, if it cannot be decrypted.

        Args:
            check: Whether Stream must first accept the key.

        Returns:
            The key; `None`, and nothing is changed, if the key is new or its secret is readable.

        Raises:
            Refusal: As `add`.
        """
        lost = StreamKey(api_key, secret, KeyState.STANDBY)
        with self._database.read() as connection:
            if self._unreadable_key(connection, lost) is None:
                return None
        warning = self._verify(lost, key_id=None, check=check)
        with self._database.write(dry_run=context.dry_run) as tx:
            ring_versions.lock(tx)
            key = self._unreadable_key(tx, lost)
            if key is None:
                return None
            self._store.restore(tx, key.id, *self._vault.encrypt(secret))
            record(tx, context, Action.SECRETS_REENCRYPTED, key.id, now=self._clock.read(tx))
        return _result(key, context, warning)

    def activate(
        self, key_id: str, context: ActionContext, *, check: bool
    ) -> StreamKeyActionResult:
        """
        Activate a key. The previous active key becomes retiring.

        Args:
            check: Whether Stream must first accept the key as one of the same Stream app.

        Raises:
            Refusal: `not_found`, `conflict`; as `add`.
        """
        not_checked = self._verify_activation(key_id, check=check)
        with self._database.write(dry_run=context.dry_run) as tx:
            ring_versions.lock(tx)
            keys = self._store.every_key(tx)
            transitions = rules.activation_steps(keys, key_id)
            now = self._clock.read(tx)
            unnamed_mints = store.unnamed_mints_since(tx, now - _DAY)
            warnings = (rules.warn_of_unnamed(transitions, unnamed_mints), not_checked)
            result = self._run(tx, key_id, transitions, context, now=now)
        return msgspec.structs.replace(
            result,
            unnamed_mints=unnamed_mints,
            warning=" ".join(filter(None, warnings)) or UNSET,
        )

    def retire(self, key_id: str, context: ActionContext) -> StreamKeyActionResult:
        """
        Retire a key and erase its secret. No request that arrives later is signed with it.

        Raises:
            Refusal: `not_found`, `conflict`.
        """
        with self._database.write(dry_run=context.dry_run) as tx:
            ring_versions.lock(tx)
            keys = self._store.every_key(tx)
            transitions = retirement_steps(keys, key_id, if_active=_IF_ACTIVE)
            result = self._run(tx, key_id, transitions, context, now=self._clock.read(tx))
        return msgspec.structs.replace(result, warning=_RETIRED)

    def seed(self, api_key: str, secret: str) -> None:
        """
        Make the key of the settings the active key of an empty ring; else compare it.

        Raises:
            StreamKeyConflictError: The ring has this API key with another secret.
        """
        with self._database.write() as tx:
            ring_versions.lock(tx)
            keys = self._store.every_key(tx)
            if not keys:
                first = StreamKey(api_key, secret.encode("utf-8"), KeyState.ACTIVE)
                self._add_key(tx, first, _SETTINGS)
        if keys:
            check_configured_key(api_key, secret, keys)

    def _add_key(self, tx: Transaction, key: StreamKey, context: ActionContext) -> StreamKeyInfo:
        return self._add(tx, StreamKeyInfo, key.secret, key.state, context, api_key=key.api_key)

    def _run(
        self,
        tx: Transaction,
        key_id: str,
        transitions: Sequence[Transition[StreamKeyInfo]],
        context: ActionContext,
        *,
        now: float,
    ) -> StreamKeyActionResult:
        self._apply(tx, transitions, context, now=now)
        key, others = self._after(tx, key_id, transitions)
        return msgspec.structs.replace(_result(key, context), also_changed=others)

    def _verify(self, key: StreamKey, *, key_id: str | None, check: bool) -> str | None:
        """Verify a key with Stream if that is wanted. Return a warning if it was not verified."""
        if not check:
            return NOT_CHECKED
        if self._check_key is None:
            return DELIVERY_OFF
        with self._wait_slots.outside():
            verify(key, key_id, self._database, check_key=self._check_key, vault=self._vault)
        return None

    def _verify_activation(self, key_id: str, *, check: bool) -> str | None:
        """Verify a key that is not active yet. Return a warning if it was not verified."""
        with self._database.read() as connection:
            keys = self._store.every_key(connection)
            if not rules.activation_steps(keys, key_id):
                return None
            key = find(keys, key_id)
            ciphertext = self._store.ciphertext_of(connection, key_id) or ""
        try:
            secret = self._vault.decrypt(ciphertext, key.fingerprint)
        except VaultError as error:
            raise keys_unreadable(
                f"The secret of {key.id} cannot be decrypted: restore it with "
                f"`tokensvc stream-keys add {key.api_key} --without-lost-keys`."
            ) from error
        return self._verify(StreamKey(key.api_key, secret, key.state), key_id=key_id, check=check)

    def _unreadable_key(self, connection: Connection, key: StreamKey) -> StreamKeyInfo | None:
        """Return the row of a key that is not retired, if its secret cannot be decrypted."""
        found = key.find_in(row for row in self._store.every_key(connection) if not row.is_retired)
        return None if found is None or self._is_readable(connection, found) else found


def _result(
    key: StreamKeyInfo, context: ActionContext, warning: str | None = None
) -> StreamKeyActionResult:
    return StreamKeyActionResult(
        **msgspec.structs.asdict(key), warning=warning or UNSET, dry_run=context.dry_run or UNSET
    )
