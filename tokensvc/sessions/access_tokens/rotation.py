"""Actions on the ring of the keys that sign access tokens, and their rotation without an action."""

from typing import ClassVar

import msgspec
from msgspec import UNSET, UnsetType

from tokensvc.audit.rules import Action
from tokensvc.core.actions import ActionContext
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database, Transaction
from tokensvc.sessions.access_tokens.rules import SigningKeyInfo, SigningPeriods, due_changes
from tokensvc.sessions.access_tokens.signing_keys import generate_secret
from tokensvc.sessions.access_tokens.store import SIGNING_KEYS
from tokensvc.standing import ring_versions
from tokensvc.stream.keys.actions import RingActions
from tokensvc.stream.keys.states import (
    KeyState,
    Transition,
    in_state,
    keys_unreadable,
    retirement_steps,
)
from tokensvc.vault.vault import Vault

_ROTATION = ActionContext("service:rotation")
_IF_ACTIVE = (
    "This is the active key. Rotate first, and retire it when the next key is active: "
    "`sessions.jwks_max_age` seconds later."
)


class SigningKeyActionResult(SigningKeyInfo, frozen=True, kw_only=True):
    """
    State of a key after an action.

    Attributes:
        also_changed: Other keys that the action changed, in their new states.
        dry_run: Present and `true` if nothing was changed.
    """

    also_changed: list[SigningKeyInfo] | UnsetType = UNSET
    dry_run: bool | UnsetType = UNSET


class SigningKeyRotation(RingActions[SigningKeyInfo]):
    """
    Makes signing keys, activates and retires them.

    Args:
        periods: Periods of the ring.
    """

    _id_prefix = "sig"
    _added = Action.SIGNING_KEY_ADDED
    _changed: ClassVar = {
        KeyState.ACTIVE: Action.SIGNING_KEY_ACTIVATED,
        KeyState.RETIRING: Action.SIGNING_KEY_RETIRING,
        KeyState.RETIRED: Action.SIGNING_KEY_RETIRED,
    }

    def __init__(
        self,
        database: Database,
        database_clock: DatabaseClock,
        vault: Vault,
        periods: SigningPeriods,
    ) -> None:
        super().__init__(database, database_clock, vault, SIGNING_KEYS)
        self._periods = periods

    def rotate(self, context: ActionContext) -> SigningKeyActionResult:
        """
        Return the standby key, or make it. It becomes active when every verifier knows it.

        Without an active key the new key is active immediately.
        """
        with self._database.write(dry_run=context.dry_run) as tx:
            ring_versions.lock(tx)
            keys = self._store.every_key(tx)
            has_active = in_state(keys, KeyState.ACTIVE) is not None
            state = KeyState.STANDBY if has_active else KeyState.ACTIVE
            key = in_state(keys, KeyState.STANDBY) or self._make(tx, state, context)
        return _result(key, context)

    def retire(self, key_id: str, context: ActionContext) -> SigningKeyActionResult:
        """
        Retire a key and erase its secret. No request that arrives later accepts its tokens.

        Raises:
            Refusal: `not_found`; `conflict` when the key is active.
        """
        with self._database.write(dry_run=context.dry_run) as tx:
            ring_versions.lock(tx)
            keys = self._store.every_key(tx)
            transitions = retirement_steps(keys, key_id, if_active=_IF_ACTIVE)
            self._apply(tx, transitions, context, now=self._clock.read(tx))
            key, _ = self._after(tx, key_id, transitions)
        return _result(key, context)

    def replace_unreadable(self, context: ActionContext) -> SigningKeyActionResult:
        """
        Retire each key that cannot be decrypted, and activate a key if none is active then.

        A verifier that has not fetched the published keys since then does not know the new key.
        """
        with self._database.write(dry_run=context.dry_run) as tx:
            ring_versions.lock(tx)
            lost = tuple(
                Transition(key, KeyState.RETIRED)
                for key in self._store.every_key(tx)
                if not key.is_retired and not self._is_readable(tx, key)
            )
            self._apply(tx, lost, context, now=self._clock.read(tx))
            self._run_due_changes(tx, context)
            active = in_state(self._store.every_key(tx), KeyState.ACTIVE)
            if active is None:
                raise keys_unreadable("no signing key is active")
            key, others = self._after(tx, active.id, lost)
        return msgspec.structs.replace(_result(key, context), also_changed=others)

    def step(self) -> None:
        """
        Do what is due: make a key, activate the standby key, retire expired keys.

        Any number of processes may call it. One that cannot read the ring changes nothing.
        """
        stored = self._store.read(self._database)
        infos = [key.info for key in stored.keys]
        if not due_changes(infos, self._periods, self._clock()):
            return
        for key in stored.keys:
            if not self._vault.can_decrypt(key.ciphertext, key.info.fingerprint):
                return
        with self._database.write() as tx:
            ring_versions.lock(tx)
            self._run_due_changes(tx, _ROTATION)

    def _run_due_changes(self, tx: Transaction, context: ActionContext) -> None:
        """Run what is due. The lock is held, so that no other process runs it too."""
        now = self._clock.read(tx)
        due = due_changes(self._store.every_key(tx), self._periods, now)
        self._apply(tx, due.transitions, context, now=now)
        if due.new_key is not None:
            self._make(tx, due.new_key, context)

    def _make(self, tx: Transaction, state: KeyState, context: ActionContext) -> SigningKeyInfo:
        return self._add(tx, SigningKeyInfo, generate_secret(), state, context, retiring_at=None)


def _result(key: SigningKeyInfo, context: ActionContext) -> SigningKeyActionResult:
    return SigningKeyActionResult(**msgspec.structs.asdict(key), dry_run=context.dry_run or UNSET)
