"""
Apply exported events again to a restored database.

What was refused is refused again. What was granted since (accounts, clients, secrets, keys, scopes)
is lost: the export has no secret. An event that was applied before is not applied again.

A new kind of event needs a record in `events.py` with its facts, a function that applies it, and a
row in `KINDS`. A kind without a row needs no replay.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Final, Generic

from tokensvc.accounts import store as accounts
from tokensvc.accounts.store import Account
from tokensvc.audit.rules import DONE, Action, AuditEvent
from tokensvc.clients import store as clients
from tokensvc.clients.rules import Rights
from tokensvc.issuers.events import ProviderSession
from tokensvc.recovery import standing_replay as standing
from tokensvc.recovery.events import (
    ClientChanged,
    ClientSecretDeleted,
    DatabaseRestored,
    Event,
    EventT,
    FloorLowered,
    ProviderSessionEnded,
    Renewed,
    Replay,
    RevocationUndone,
    Revoked,
    decode,
)
from tokensvc.revocations.events import store as provider_events
from tokensvc.sessions.access_tokens.store import SIGNING_KEYS
from tokensvc.standing.rules import RevocationKind
from tokensvc.stream.keys.states import KeyState, Transition
from tokensvc.stream.keys.store import STREAM_KEYS, RingStore


@dataclass(frozen=True, slots=True)
class Kind(Generic[EventT]):
    """
    A kind of event that is replayed.

    Attributes:
        record: Record of its events.
        apply: Function that applies one.
    """

    record: type[EventT]
    apply: Callable[[Replay, EventT], None]


def decoded(event: AuditEvent) -> Event | None:
    """
    Return the record of an event; `None` if its kind needs no replay.

    Raises:
        ValidationError: A fact has another type than the record says.
    """
    kind = KINDS.get(event.action)
    return None if kind is None or event.outcome != DONE else decode(event, kind.record)


def apply(replay: Replay, event: AuditEvent) -> bool:
    """Apply an event. Return false if its kind needs no replay."""
    record = decoded(event)
    if record is None:
        return False
    KINDS[event.action].apply(replay, record)
    return True


def _end_provider_session(replay: Replay, event: ProviderSessionEnded) -> None:
    session = ProviderSession(event.provider_session, event.refused_until)
    provider_events.end_session(replay.tx, session)


def _reserve_account(replay: Replay, event: Event) -> None:
    """Keep an ID from being assigned again, without a password until a reset."""
    accounts.insert(replay.tx, Account(event.subject, None, event.time))


def _delete_account(replay: Replay, event: Revoked) -> None:
    _reserve_account(replay, event)
    accounts.mark_deleted(replay.tx, event.subject, event.time)
    standing.revoke(replay, event, RevocationKind.DELETION)
    replay.banned.add(event.subject)


def _disable_password(replay: Replay, event: Revoked) -> None:
    accounts.disable_password(replay.tx, event.subject)
    standing.revoke(replay, event, RevocationKind.PASSWORD)


def _reserve_client(replay: Replay, event: Event) -> None:
    clients.reserve_id(replay.tx, event.subject)


def _narrow_client(replay: Replay, event: ClientChanged) -> None:
    """Withdraw the rights that the client lost. Those that it got are not granted."""
    client = clients.locked(replay.tx, {event.subject}).get(event.subject)
    if client is None:
        return
    before = client.rights
    scopes = before.scopes - event.withdrawn
    if event.scopes is not None:
        scopes &= event.scopes
    clients.change(replay.tx, event.subject, Rights(scopes, before.vouches and event.vouches))


def _delete_client(replay: Replay, event: Event) -> None:
    clients.delete(replay.tx, event.subject)


def _delete_secret(replay: Replay, event: ClientSecretDeleted) -> None:
    """Delete the secret, or all of the client if the event does not name it."""
    client = clients.locked(replay.tx, {event.subject}).get(event.subject)
    for secret in client.secrets if client is not None else []:
        if event.secret in {None, secret.id}:
            clients.delete_secret(replay.tx, secret.id)


def _activate(store: RingStore[Any], replay: Replay, event: Event) -> None:
    """Activate a key that the database has. If it does not, the previous one stays active."""
    keys = store.every_key(replay.tx)
    key = next((key for key in keys if key.id == event.subject and not key.is_retired), None)
    if key is None or key.state is KeyState.ACTIVE:
        return
    active = [other for other in keys if other.state is KeyState.ACTIVE]
    transitions = [
        *(Transition(other, KeyState.RETIRING) for other in active),
        Transition(key, KeyState.ACTIVE),
    ]
    store.apply(replay.tx, transitions, event.time)


def _retire(store: RingStore[Any], replay: Replay, event: Event) -> None:
    """Retire a key, also the only active one: its secret may have leaked."""
    keys = [
        key for key in store.every_key(replay.tx) if key.id == event.subject and not key.is_retired
    ]
    store.apply(replay.tx, [Transition(key, KeyState.RETIRED) for key in keys], event.time)


def _end_secrets(replay: Replay, event: DatabaseRestored) -> None:
    if event.secrets_disabled:
        clients.end_secrets(replay.tx, replay.clock(), created_until=event.time)


KINDS: Final[Mapping[str, Kind[Any]]] = MappingProxyType(
    {
        Action.USER_REVOKED: Kind(Revoked, standing.revoke),
        Action.APP_REVOKED: Kind(Revoked, standing.revoke),
        Action.USER_SUSPENDED: Kind(Revoked, standing.suspend),
        Action.USER_REINSTATED: Kind(Event, standing.reinstate),
        Action.USER_RENEWED: Kind(Renewed, standing.renew),
        Action.USER_ERASED: Kind(Revoked, standing.erase),
        Action.USER_REVOCATION_UNDONE: Kind(RevocationUndone, standing.undo),
        Action.APP_REVOCATION_UNDONE: Kind(RevocationUndone, standing.undo),
        Action.PROVIDER_SESSION_ENDED: Kind(ProviderSessionEnded, _end_provider_session),
        Action.USER_FLOOR_LOWERED: Kind(FloorLowered, standing.lower_floor),
        Action.APP_FLOOR_LOWERED: Kind(FloorLowered, standing.lower_floor),
        Action.ACCOUNT_CREATED: Kind(Event, _reserve_account),
        Action.ACCOUNT_IMPORTED: Kind(Event, _reserve_account),
        Action.ACCOUNT_DELETED: Kind(Revoked, _delete_account),
        Action.PASSWORD_RESET: Kind(Revoked, _disable_password),
        Action.PASSWORD_CHANGED: Kind(Revoked, _disable_password),
        Action.CLIENT_CREATED: Kind(Event, _reserve_client),
        Action.CLIENT_CHANGED: Kind(ClientChanged, _narrow_client),
        Action.CLIENT_DELETED: Kind(Event, _delete_client),
        Action.CLIENT_SECRET_DELETED: Kind(ClientSecretDeleted, _delete_secret),
        Action.STREAM_KEY_ACTIVATED: Kind(Event, partial(_activate, STREAM_KEYS)),
        Action.STREAM_KEY_RETIRED: Kind(Event, partial(_retire, STREAM_KEYS)),
        Action.SIGNING_KEY_ACTIVATED: Kind(Event, partial(_activate, SIGNING_KEYS)),
        Action.SIGNING_KEY_RETIRED: Kind(Event, partial(_retire, SIGNING_KEYS)),
        Action.DATABASE_RESTORED: Kind(DatabaseRestored, _end_secrets),
    }
)
"""The record and the function of each kind, by the name of the action."""
