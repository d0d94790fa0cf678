"""What the actions on both rings have in common: each one is a transaction with its events."""

import secrets
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic

from tokensvc.audit.rules import Action, Details
from tokensvc.audit.store import record
from tokensvc.core.actions import ActionContext
from tokensvc.core.ids import sortable_id
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Connection, Database, Transaction
from tokensvc.stream.keys import states
from tokensvc.stream.keys.states import InfoT, KeyState, Transition
from tokensvc.stream.keys.store import RingStore, StoredKey
from tokensvc.vault.rules import fingerprint
from tokensvc.vault.vault import Vault


class RingActions(ABC, Generic[InfoT]):
    """
    Lists the keys of a ring, adds keys and changes their states.

    Args:
        store: Store of the ring.
    """

    _id_prefix: ClassVar[str]
    """Lowercase letters at the start of each ID."""
    _added: ClassVar[Action]
    _changed: ClassVar[Mapping[KeyState, Action]]
    """Events of a new key and of a key that changes to a state."""

    def __init__(
        self,
        database: Database,
        database_clock: DatabaseClock,
        vault: Vault,
        store: RingStore[InfoT],
    ) -> None:
        self._database = database
        self._clock = database_clock
        self._vault = vault
        self._store = store

    def page(self, *, after: str | None, limit: int) -> list[InfoT]:
        """Return keys including retired ones, newest first."""
        with self._database.read() as connection:
            return self._store.page(connection, after=after, limit=limit)

    @abstractmethod
    def retire(self, key_id: str, context: ActionContext) -> InfoT:
        """Retire a key and erase its secret."""

    def one(self, key_id: str) -> InfoT:
        """
        Return a key.

        Raises:
            Refusal: `not_found`.
        """
        with self._database.read() as connection:
            return states.find(self._store.every_key(connection), key_id)

    def _add(
        self,
        tx: Transaction,
        info_type: type[InfoT],
        secret: bytes,
        state: KeyState,
        context: ActionContext,
        **members: Any,
    ) -> InfoT:
        """
        Add a key, the newest of the ring even if the clock was set back.

        Args:
            members: Members of the struct that only this ring has.
        """
        newest = next(iter(self._store.every_key(tx)), None)
        now = self._clock.read(tx)
        created_at = max(int(now), newest.created_at if newest is not None else 0)
        newest_id = newest.id if newest is not None else None
        info = info_type(
            id=sortable_id(self._id_prefix, newest_id, now, secrets.token_hex(4)),
            state=state,
            fingerprint=fingerprint(secret),
            created_at=created_at,
            activated_at=created_at if state is KeyState.ACTIVE else None,
            retired_at=None,
            **members,
        )
        self._store.add(tx, StoredKey(info, *self._vault.encrypt(secret)))
        details: Details = {name: value for name, value in members.items() if value is not None}
        record(tx, context, self._added, info.id, now=now, details=details | {"state": state})
        return info

    def _apply(
        self,
        tx: Transaction,
        transitions: Sequence[Transition[InfoT]],
        context: ActionContext,
        *,
        now: float,
    ) -> None:
        self._store.apply(tx, transitions, int(now))
        for transition in transitions:
            record(tx, context, self._changed[transition.to], transition.key.id, now=now)

    def _after(
        self, tx: Transaction, key_id: str, transitions: Sequence[Transition[InfoT]]
    ) -> tuple[InfoT, list[InfoT]]:
        """Return a key and the other keys that were changed, in their new states."""
        keys = self._store.every_key(tx)
        others = {transition.key.id for transition in transitions} - {key_id}
        return states.find(keys, key_id), [key for key in keys if key.id in others]

    def _is_readable(self, connection: Connection, key: InfoT) -> bool:
        ciphertext = self._store.ciphertext_of(connection, key.id) or ""
        return self._vault.can_decrypt(ciphertext, key.fingerprint)
