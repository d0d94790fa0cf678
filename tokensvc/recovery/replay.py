"""
Apply exported events again to a restored database.

What was refused is refused again. What was granted since (accounts, clients, secrets, keys, scopes)
is lost: the export has no secret. An event that was applied before is not applied again.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from tokensvc.accounts import store as accounts
from tokensvc.accounts.store import Account
from tokensvc.audit.rules import Action, AuditEvent
from tokensvc.clients import store as clients
from tokensvc.clients.rules import Rights
from tokensvc.core.clock import Clock
from tokensvc.database.engine import Database, Transaction
from tokensvc.recovery import standing_replay
from tokensvc.recovery.export import facts_of
from tokensvc.sessions.access_tokens.store import SigningKeyStore
from tokensvc.standing.rules import RevocationKind
from tokensvc.stream.keys.states import KeyState, Transition
from tokensvc.stream.keys.store import RingStore, StreamKeyStore

_Apply: TypeAlias = Callable[[Transaction, AuditEvent], object]


class Replay:
    """
    Applies events, oldest first, in one transaction.

    Args:
        clock: Clock that dates what is done now.

    Attributes:
        reinstated: Users whose suspension has ended.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self.reinstated: set[str] = set()
        self._clock = clock
        self._stream_keys = StreamKeyStore(database)
        self._signing_keys = SigningKeyStore(database)
        self._handlers: dict[str, _Apply] = {
            Action.USER_REVOKED: self._revoke,
            Action.APP_REVOKED: self._revoke,
            Action.USER_SUSPENDED: self._suspend,
            Action.USER_REINSTATED: self._reinstate,
            Action.USER_REVOCATION_UNDONE: standing_replay.undo,
            Action.APP_REVOCATION_UNDONE: standing_replay.undo,
            Action.USER_FLOOR_LOWERED: self._lower_floor,
            Action.APP_FLOOR_LOWERED: self._lower_floor,
            Action.ACCOUNT_CREATED: _reserve_account,
            Action.ACCOUNT_IMPORTED: _reserve_account,
            Action.ACCOUNT_DELETED: self._delete_account,
            Action.PASSWORD_RESET: self._disable_password,
            Action.PASSWORD_CHANGED: self._disable_password,
            Action.CLIENT_CREATED: _reserve_client,
            Action.CLIENT_CHANGED: self._narrow_client,
            Action.CLIENT_DELETED: self._delete_client,
            Action.CLIENT_SECRET_DELETED: self._delete_secret,
            Action.STREAM_KEY_ACTIVATED: lambda tx, event: _activate(self._stream_keys, tx, event),
            Action.STREAM_KEY_RETIRED: lambda tx, event: _retire(self._stream_keys, tx, event),
            Action.SIGNING_KEY_ACTIVATED: lambda tx, event: _activate(
                self._signing_keys, tx, event
            ),
            Action.SIGNING_KEY_RETIRED: lambda tx, event: _retire(self._signing_keys, tx, event),
            Action.DATABASE_RESTORED: self._end_secrets,
        }

    def apply(self, tx: Transaction, event: AuditEvent) -> bool:
        """Apply an event. Return false if its kind needs no replay."""
        apply = self._handlers.get(event.action)
        if apply is None or event.outcome != "ok":
            return False
        apply(tx, event)
        return True

    def has_active_stream_key(self, tx: Transaction) -> bool:
        """Return whether a Stream key signs for clients that name none."""
        return any(key.state is KeyState.ACTIVE for key in self._stream_keys.every_key(tx))

    def _revoke(self, tx: Transaction, event: AuditEvent) -> None:
        standing_replay.revoke(tx, event, RevocationKind.REVOCATION, self._clock())

    def _suspend(self, tx: Transaction, event: AuditEvent) -> None:
        standing_replay.suspend(tx, event, self._clock())
        self.reinstated.discard(event.subject)

    def _reinstate(self, tx: Transaction, event: AuditEvent) -> None:
        if standing_replay.reinstate(tx, event):
            self.reinstated.add(event.subject)

    def _lower_floor(self, tx: Transaction, event: AuditEvent) -> None:
        standing_replay.lower_floor(tx, event, self._clock())

    def _delete_account(self, tx: Transaction, event: AuditEvent) -> None:
        _reserve_account(tx, event)
        accounts.mark_deleted(tx, event.subject, event.time)
        standing_replay.revoke(tx, event, RevocationKind.DELETION, self._clock())

    def _disable_password(self, tx: Transaction, event: AuditEvent) -> None:
        accounts.disable_password(tx, event.subject)
        standing_replay.revoke(tx, event, RevocationKind.PASSWORD, self._clock())

    def _narrow_client(self, tx: Transaction, event: AuditEvent) -> None:
        """Withdraw the rights that the client lost. Those that it got are not granted."""
        client = clients.locked(tx, {event.subject}).get(event.subject)
        facts = facts_of(event)
        if client is None or facts.scopes is None:
            return
        vouches = client.rights.vouches and facts.vouches
        rights = Rights(client.rights.scopes & frozenset(facts.scopes), vouches)
        clients.change(tx, event.subject, rights)

    def _delete_client(self, tx: Transaction, event: AuditEvent) -> None:
        clients.delete(tx, event.subject)

    def _delete_secret(self, tx: Transaction, event: AuditEvent) -> None:
        """Delete the secret, or all of the client if the event does not name it."""
        named = facts_of(event).secret
        client = clients.locked(tx, {event.subject}).get(event.subject)
        for secret in client.secrets if client is not None else []:
            if named in {None, secret.id}:
                clients.delete_secret(tx, secret.id)

    def _end_secrets(self, tx: Transaction, event: AuditEvent) -> None:
        if facts_of(event).secrets_disabled:
            clients.end_secrets(tx, self._clock(), created_until=event.time)


def _reserve_account(tx: Transaction, event: AuditEvent) -> None:
    """Keep an ID from being assigned again, without a password until a reset."""
    accounts.insert(tx, Account(event.subject, None, event.time))


def _reserve_client(tx: Transaction, event: AuditEvent) -> None:
    clients.reserve_id(tx, event.subject)


def _activate(store: RingStore[Any], tx: Transaction, event: AuditEvent) -> None:
    """Activate a key that the database has. If it does not, the previous one stays active."""
    keys = store.every_key(tx)
    key = next((key for key in keys if key.id == event.subject and key.is_live), None)
    if key is None or key.state is KeyState.ACTIVE:
        return
    active = [other for other in keys if other.state is KeyState.ACTIVE]
    transitions = [
        *(Transition(other, KeyState.RETIRING) for other in active),
        Transition(key, KeyState.ACTIVE),
    ]
    store.apply(tx, transitions, event.time)


def _retire(store: RingStore[Any], tx: Transaction, event: AuditEvent) -> None:
    """Retire a key, also the only active one: its secret may have leaked."""
    keys = [key for key in store.every_key(tx) if key.id == event.subject and key.is_live]
    store.apply(tx, [Transition(key, KeyState.RETIRED) for key in keys], event.time)
