"""The acts on the ring of Stream keys: each one transaction, with its event and a new version."""

import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from tokensvc.audit.rules import Action
from tokensvc.audit.store import record
from tokensvc.core.actions import ActionContext
from tokensvc.core.ids import sortable_id
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Connection, Database, Transaction
from tokensvc.keys import rules, store
from tokensvc.keys.rules import KeyState, StreamKeyInfo, Transition, fingerprint
from tokensvc.keys.service import check_configured_key
from tokensvc.keys.store import StoredKey, StreamKeyStore
from tokensvc.keys.vault import Vault, VaultError
from tokensvc.keys.verification import AskStream, KeyPairVerifier
from tokensvc.standing import store as standings

_DAY = 86400
_SETTINGS = ActionContext("service:settings", "the first key of the ring")
_ACTIONS = {
    KeyState.ACTIVE: Action.STREAM_KEY_ACTIVATED,
    KeyState.RETIRING: Action.STREAM_KEY_RETIRING,
    KeyState.RETIRED: Action.STREAM_KEY_RETIRED,
}

_RETIRED = (
    "This service signs with the secret no more. At Stream it is good until it is removed in the "
    "dashboard, for tokens that are out and for anybody who has it."
)


@dataclass(frozen=True, slots=True)
class RotationResult:
    """
    What an act has made of the ring, or would make.

    Attributes:
        key: The key that the act is about.
        others: The other keys that it moved.
        unnamed_mints: In the last 24 h; `None` where they do not matter.
        warning: What the operator should know.
    """

    key: StreamKeyInfo
    others: tuple[StreamKeyInfo, ...]
    unnamed_mints: int | None
    warning: str | None


class StreamKeyRotation:
    """
    Adds keys to the ring, activates and retires them.

    Every method raises `Refusal` `temporarily_unavailable` when the database fails.

    Args:
        clock: The database's.
        ask_stream: For proofs of new pairs.
        places: Where requests wait for Stream; each holds a thread that could mint.
    """

    def __init__(
        self,
        database: Database,
        clock: DatabaseClock,
        vault: Vault,
        ask_stream: AskStream,
        *,
        wait_slots: threading.Semaphore,
    ) -> None:
        self._database = database
        self._clock = clock
        self._vault = vault
        self._store = StreamKeyStore(database)
        self._proof = KeyPairVerifier(self._store, vault, ask_stream, wait_slots)

    def page(self, *, after: str | None, limit: int) -> list[StreamKeyInfo]:
        """Give keys, newest first, the retired ones too."""
        with self._database.read() as connection:
            return self._store.page(connection, after=after, limit=limit)

    def one(self, key_id: str) -> StreamKeyInfo:
        """
        Give a key.

        Raises:
            Refusal: `not_found`.
        """
        with self._database.read() as connection:
            return rules.find(self._store.every_key(connection), key_id)

    def add(
        self, api_key: str, secret: bytes, context: ActionContext, *, check: bool
    ) -> StreamKeyInfo:
        """
        Add a pair as standby: it signs for clients that name it.

        Args:
            check: Let Stream prove the pair first, and that it is of the same Stream app.

        Raises:
            Refusal: `stream_key_invalid`; `conflict` or `temporarily_unavailable` when Stream
                gives no proof. Nothing is stored then.
        """
        with self._database.read() as connection:
            rules.check_pair(self._store.every_key(connection), api_key, secret)
        if check:
            # With no transaction open: Stream may take its time.
            self._proof.verify(api_key, secret)
        with self._database.write(dry_run=context.dry_run) as tx:
            standings.lock_ring(tx)
            keys = self._store.every_key(tx)
            rules.check_pair(keys, api_key, secret)
            return self._add(tx, keys, (api_key, secret), KeyState.STANDBY, context)

    def restore(
        self, api_key: str, secret: bytes, context: ActionContext, *, check: bool
    ) -> StreamKeyInfo | None:
        """
        Give a key of the ring its secret back; its fingerprint tells that it is the same one.

        Args:
            check: Let Stream prove the pair first.

        Returns:
            The key; `None`, and nothing done, if the pair is new or its secret can be read.

        Raises:
            Refusal: As `add`.
        """
        pair = api_key, fingerprint(secret)
        with self._database.read() as connection:
            if self._lost(connection, pair) is None:
                return None
        if check:
            self._proof.verify(api_key, secret)
        with self._database.write(dry_run=context.dry_run) as tx:
            standings.lock_ring(tx)
            key = self._lost(tx, pair)
            if key is None:
                return None
            self._store.restore(tx, key.id, *self._vault.wrap(secret))
            record(tx, context, Action.SECRETS_REENCRYPTED, key.id, now=self._clock.read(tx))
            return key

    def activate(self, key_id: str, context: ActionContext) -> RotationResult:
        """
        Let a key sign for callers that name none; the former one is retiring from then on.

        Raises:
            Refusal: `not_found`, `conflict`.
        """
        with self._database.write(dry_run=context.dry_run) as tx:
            standings.lock_ring(tx)
            keys = self._store.every_key(tx)
            moves = rules.activation_steps(keys, key_id)
            if moves and not self._can_read(tx, rules.find(keys, key_id)):
                raise rules.unreadable_keys("the key to be activated cannot be unwrapped")
            now = self._clock.read(tx)
            unnamed = store.unnamed_mints_since(tx, now - _DAY)
            warning = rules.warn_of_unnamed(moves, unnamed)
            self._move(tx, moves, context, now)
            return self._moved(tx, key_id, moves, warning, unnamed)

    def retire(self, key_id: str, context: ActionContext) -> RotationResult:
        """
        End a key and erase its secret: no request that arrives after this is signed with it.

        Raises:
            Refusal: `not_found`, `conflict`.
        """
        with self._database.write(dry_run=context.dry_run) as tx:
            standings.lock_ring(tx)
            moves = rules.retirement_steps(self._store.every_key(tx), key_id)
            self._move(tx, moves, context, self._clock.read(tx))
            return self._moved(tx, key_id, moves, _RETIRED)

    def seed(self, api_key: str, secret: str) -> None:
        """
        Make the pair of the settings the active key of an empty ring; else compare it.

        Raises:
            StreamKeyConflictError: The ring has this key with another secret.
        """
        raw = secret.encode("utf-8")
        with self._database.write() as tx:
            standings.lock_ring(tx)
            keys = self._store.every_key(tx)
            if not keys:
                self._add(tx, keys, (api_key, raw), KeyState.ACTIVE, _SETTINGS)
        if keys:
            check_configured_key((api_key, fingerprint(raw)), keys)

    def _add(
        self,
        tx: Transaction,
        keys: Sequence[StreamKeyInfo],
        pair: tuple[str, bytes],
        state: KeyState,
        context: ActionContext,
    ) -> StreamKeyInfo:
        api_key, secret = pair
        newest = keys[0] if keys else None
        now = self._clock.read(tx)
        created_at = max(int(now), newest.created_at if newest is not None else 0)
        info = StreamKeyInfo(
            id=sortable_id("key", newest.id if newest else None, now, secrets.token_hex(4)),
            api_key=api_key,
            state=state,
            fingerprint=fingerprint(secret),
            created_at=created_at,
            activated_at=created_at if state is KeyState.ACTIVE else None,
            retired_at=None,
        )
        self._store.add(tx, StoredKey(info, *self._vault.wrap(secret)))
        record(tx, context, Action.STREAM_KEY_ADDED, info.id, now=now)
        return info

    def _move(
        self, tx: Transaction, moves: Sequence[Transition], context: ActionContext, now: float
    ) -> None:
        self._store.move(tx, moves, int(now))
        for move in moves:
            record(tx, context, _ACTIONS[move.to], move.key.id, now=now)

    def _moved(
        self,
        tx: Transaction,
        key_id: str,
        moves: Sequence[Transition],
        warning: str | None,
        unnamed_mints: int | None = None,
    ) -> RotationResult:
        keys = self._store.every_key(tx)
        others = {move.key.id for move in moves} - {key_id}
        return RotationResult(
            key=rules.find(keys, key_id),
            others=tuple(key for key in keys if key.id in others),
            unnamed_mints=unnamed_mints,
            warning=warning,
        )

    def _lost(self, connection: Connection, pair: tuple[str, str]) -> StreamKeyInfo | None:
        """Find the live key of a pair, if its secret cannot be had from the database."""
        for key in self._store.every_key(connection):
            if key.is_live and key.pair == pair:
                return None if self._can_read(connection, key) else key
        return None

    def _can_read(self, connection: Connection, key: StreamKeyInfo) -> bool:
        try:
            secret = self._vault.unwrap(self._store.ciphertext_of(connection, key.id) or "")
        except VaultError:
            return False
        return fingerprint(secret) == key.fingerprint
