"""The rows of sessions. No token is in them, only the encrypted key that proves the tokens."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa

from tokensvc.core.clock import Clock, start_of_day
from tokensvc.database.deletion import delete_batch
from tokensvc.database.engine import Connection, Database, Transaction
from tokensvc.database.statements import Rows, Values, run
from tokensvc.sessions.rules import Family, Origin
from tokensvc.sessions.settings import SessionSettings
from tokensvc.sessions.tables import sessions
from tokensvc.standing import store as standings
from tokensvc.standing.clocked_read import fetch_clocked
from tokensvc.standing.rules import Epochs, RingVersion, Standing
from tokensvc.vault.store import EncryptedSecrets

_columns = sessions.c
_has_epochs = standings.has_epochs(_columns.user_id, _columns.user_epoch, _columns.app_epoch)

# Built once: building one costs more than the rest of a statement.
_INSERT = sessions.insert()
_REPLACE_UNCHANGED: sa.Update = (
    sessions.update()
    .where(
        (_columns.id == sa.bindparam("seen_id"))
        & (_columns.counter == sa.bindparam("seen_counter"))
        & _columns.ended_at.is_(None)
        & _has_epochs
    )
    .values(
        {
            name: sa.bindparam(name)
            for name in (
                *("counter", "rotated_at", "last_used_at", "ended_at"),
                *("address_hash", "network_hash", "used_on"),
            )
        }
    )
    .returning(sa.literal_column("1"))
)

FAMILY_KEYS = EncryptedSecrets(_columns.id, _columns.family_key_ciphertext, _columns.encrypted_with)


class SessionRow(NamedTuple):
    """A row of `sessions`, in the driver's own types. `family_in` gives it a meaning."""

    id: str
    user_id: str
    client_id: str
    counter: int
    rotated_at: float | None
    created_at: float
    last_used_at: float
    user_epoch: int
    app_epoch: int
    ended_at: float | None
    family_key_ciphertext: str
    encrypted_with: str
    address_hash: str | None
    network_hash: str | None
    confirmed_counter: int | None


@dataclass(frozen=True, slots=True)
class SessionStanding:
    """
    One read of a session and the standings that apply to it.

    Attributes:
        session: The row.
        standing: Combined standing of the session's user and the app.
        epochs: Epochs in effect.
        signing_ring_version: Version of the ring of the keys that sign access tokens.
        now: Epoch seconds of the database's clock with fractions, read as `Standing.now`.
    """

    session: SessionRow
    standing: Standing
    epochs: Epochs
    signing_ring_version: RingVersion
    now: float


_READ = standings.select_with_session(
    sessions,
    _columns.id == sa.bindparam("session_id"),
    _columns.user_id,
    [_columns[name] for name in SessionRow._fields],
)


def read(database: Database, clock: Clock, session_id: str) -> SessionStanding | None:
    """
    Return a session, open or not, and the standings, in one statement; `None` without a session.

    Args:
        clock: Clock of this host, used on SQLite.
    """
    (row, *_), now = fetch_clocked(database, clock, _READ, {"session_id": session_id})
    if row[0] is None:
        return None
    session = SessionRow(*row[: len(SessionRow._fields)])
    user_epoch, app_epoch, counter, ring_id, *columns = row[len(session) :]
    return SessionStanding(
        session=session,
        standing=standings.standing_of(columns, int(now)),
        epochs=Epochs(user=user_epoch or 0, app=app_epoch),
        signing_ring_version=RingVersion(counter, ring_id),
        now=now,
    )


def family_in(row: Any) -> Family:
    """Return the family in a row of `sessions`."""
    return Family(
        id=row.id,
        user_id=row.user_id,
        client_id=row.client_id,
        counter=row.counter,
        rotated_at=row.rotated_at,
        created_at=row.created_at,
        last_used_at=row.last_used_at,
        epochs=Epochs(user=row.user_epoch, app=row.app_epoch),
        ended_at=row.ended_at,
        rotated_from=row.network_hash and Origin(row.address_hash, row.network_hash),
        confirmed_counter=row.confirmed_counter,
    )


def insert(tx: Transaction, family: Family, key_ciphertext: str, encrypted_with: str) -> None:
    """
    Insert a new family.

    Args:
        key_ciphertext: Encrypted family key.
        encrypted_with: Fingerprint of the encryption key.
    """
    row = {
        "id": family.id,
        "user_id": family.user_id,
        "client_id": family.client_id,
        "counter": family.counter,
        "rotated_at": family.rotated_at,
        "created_at": family.created_at,
        "last_used_at": family.last_used_at,
        "used_on": start_of_day(family.last_used_at),
        "user_epoch": family.epochs.user,
        "app_epoch": family.epochs.app,
        "ended_at": family.ended_at,
        "family_key_ciphertext": key_ciphertext,
        "encrypted_with": encrypted_with,
        "confirmed_counter": family.confirmed_counter,
        **_origin(family),
    }
    run(tx, _INSERT, row)


def replace_unchanged(
    update: Callable[[sa.Update, Values], Rows], seen: Family, new: Family
) -> bool:
    """
    Store the new state of a family.

    Args:
        update: `Database.change`, or `run` in a transaction.

    Returns:
        False if the family was rotated, ended or revoked since it was read: nothing is stored.
    """
    values = {
        "seen_id": seen.id,
        "seen_counter": seen.counter,
        "counter": new.counter,
        "rotated_at": new.rotated_at,
        "last_used_at": new.last_used_at,
        "ended_at": new.ended_at,
        "used_on": start_of_day(new.last_used_at),
        **_origin(new),
    }
    return bool(update(_REPLACE_UNCHANGED, values))


def confirm(tx: Transaction, confirmed: Family) -> bool:
    """Store that a client has the current token. Return false if the family has changed."""
    is_current = (_columns.id == confirmed.id) & (_columns.counter == confirmed.counter)
    update = sessions.update().where(is_current & _columns.ended_at.is_(None) & _has_epochs)
    return tx.execute(update.values(confirmed_counter=confirmed.counter)).rowcount == 1


def end(tx: Transaction, user_id: str, session_id: str, now: float) -> bool:
    """End a session of a user. Return false if it was ended or does not exist."""
    is_open = (
        (_columns.id == session_id) & (_columns.user_id == user_id) & _columns.ended_at.is_(None)
    )
    return tx.execute(sessions.update().where(is_open).values(ended_at=now)).rowcount == 1


def page(
    connection: Connection,
    user_id: str,
    settings: SessionSettings,
    *,
    now: float,
    after: str | None,
    limit: int,
) -> list[Family]:
    """
    Return open sessions of a user, newest first.

    Args:
        after: ID of the last session of the previous page.
    """
    is_open = (_columns.user_id == user_id) & _is_open(settings, now)
    newest_first = (_columns.created_at.desc(), _columns.id.desc())
    statement = sa.select(sessions).where(is_open).order_by(*newest_first).limit(limit)
    if after is not None:
        last = sa.select(_columns.created_at, _columns.id).where(_columns.id == after)
        position = sa.tuple_(_columns.created_at, _columns.id)
        statement = statement.where(position < last.scalar_subquery())
    return [family_in(row) for row in connection.execute(statement)]


def count_open(
    connection: Connection, user_ids: Collection[str], settings: SessionSettings, *, now: float
) -> dict[str, int]:
    """Return the number of open sessions of each user at a time in epoch seconds."""
    is_open = _columns.user_id.in_(user_ids) & _is_open(settings, now)
    statement = sa.select(_columns.user_id, sa.func.count()).where(is_open)
    rows = connection.execute(statement.group_by(_columns.user_id))
    return dict.fromkeys(user_ids, 0) | {row[0]: row[1] for row in rows}


def purge(tx: Transaction, now: float, limit: int, *, settings: SessionSettings) -> int:
    """
    Delete at most `limit` sessions that are ended, idle or expired, and return their number.

    An expired session is found when it was not used for the shorter lifetime, at the latest a day
    after that: one index, of days, finds both. A session of an earlier epoch is deleted then too.
    """
    unused_since = now - min(settings.idle_ttl, settings.absolute_ttl)
    ended = _columns.ended_at
    purged = delete_batch(tx, sessions, ended.is_not(None), order=ended, limit=limit)
    is_unused = _columns.used_on < start_of_day(unused_since)
    order = _columns.used_on
    return purged + delete_batch(tx, sessions, is_unused, order=order, limit=limit - purged)


def erase(tx: Transaction, user_id: str) -> int:
    """Delete the sessions of a user, live or not, and return their number."""
    return tx.execute(sessions.delete().where(_columns.user_id == user_id)).rowcount


def delete_encrypted_with(tx: Transaction, encrypted_with: str, *, limit: int) -> int:
    """Delete at most `limit` sessions under an encryption key, and return their number."""
    is_encrypted = _columns.encrypted_with == encrypted_with
    return delete_batch(tx, sessions, is_encrypted, order=_columns.id, limit=limit)


def _origin(family: Family) -> dict[str, object]:
    origin = family.rotated_from
    return {
        "address_hash": origin and origin.address,
        "network_hash": origin and origin.network,
    }


def _is_open(settings: SessionSettings, now: float) -> sa.ColumnElement[bool]:
    """Return the condition that `rules.why_dead` finds no cause."""
    return (
        _columns.ended_at.is_(None)
        & (_columns.created_at + settings.absolute_ttl > now)
        & (_columns.last_used_at + settings.idle_ttl > now)
        & _has_epochs
    )
