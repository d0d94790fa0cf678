"""
The rows of failed sign-ins, and of the addresses that signed an account in.

The statements of a sign-in are built once: building one costs more than the rest of it.
"""

from functools import cache
from typing import Any

import sqlalchemy as sa

from tokensvc.accounts.lock_out.rules import (
    FORGET_SECONDS,
    KNOWN_ADDRESS_SECONDS,
    KNOWN_ADDRESSES,
    MAX_WITHOUT_ACCOUNT,
    Counter,
    CounterKind,
)
from tokensvc.accounts.lock_out.tables import IS_WITHOUT_ACCOUNT, known_addresses, sign_in_failures
from tokensvc.core.clock import start_of_day
from tokensvc.database.deletion import delete_batch
from tokensvc.database.engine import Connection, Database, Transaction
from tokensvc.database.statements import run
from tokensvc.database.upsert import insert_in
from tokensvc.vault.hashes import KeyedHashes

_failures = sign_in_failures.c
_addresses = known_addresses.c

_is_counter = (_failures.subject == sa.bindparam("counter_key")) & (
    _failures.kind == sa.bindparam("counter_kind")
)
_WRITE = (
    sign_in_failures.update()
    .where(_is_counter)
    .values({name: sa.bindparam(name) for name in ("failures", "last_failed_at", "of_account")})
)
_TAKE_BACK = (
    sign_in_failures.update()
    .where(_is_counter & (_failures.failures > 0))
    .values(failures=_failures.failures - 1)
)
_CLEAR = sign_in_failures.delete().where(_is_counter)


def insert_new(database: Database, subject: str, counter: Counter, *, of_account: bool) -> bool:
    """
    Insert a counter in a transaction of its own. Return false if it already exists.

    A crash can lose it until the next commit of the attempt.
    """
    row = {"subject": subject, "kind": counter.kind, "of_account": of_account, **_values(counter)}
    return bool(database.change(_insert_new_in(database.dialect), row))


def lock(tx: Transaction, subject: str, kind: CounterKind) -> Counter:
    """
    Return a counter, locked until the transaction ends.

    Args:
        subject: Keyed hash of the user ID, for `CounterKind.OWN` together with the address.
    """
    row = {"subject": subject, "kind": kind, "failures": 0, "last_failed_at": 0}
    ((failures, last_failed_at),) = run(tx, _lock_in(tx.dialect.name), row)
    return Counter(kind, failures, last_failed_at)


def write(tx: Transaction, subject: str, counter: Counter, *, of_account: bool) -> None:
    """
    Write a counter that `lock` returned with other values.

    Args:
        of_account: Whether the user ID has an account.
    """
    values = {**_key(subject, counter.kind), **_values(counter), "of_account": of_account}
    run(tx, _WRITE, values)


def take_back(tx: Transaction, subject: str, kind: CounterKind) -> None:
    """Subtract a failure: the password was not checked."""
    run(tx, _TAKE_BACK, _key(subject, kind))


def clear(tx: Transaction, subject: str, kind: CounterKind) -> None:
    """Delete a counter."""
    run(tx, _CLEAR, _key(subject, kind))


def unlock(tx: Transaction, user_id: str, hashes: KeyedHashes) -> bool:
    """Delete the counters of a user ID. Return whether one had a failure."""
    # An attempt locks the rows in this order too: else two could block each other.
    counters = _counters(tx, user_id, hashes)
    failures = [lock(tx, subject, kind).failures for subject, kind in counters]
    for subject, kind in counters:
        clear(tx, subject, kind)
    return any(failures)


def failures(connection: Connection, user_id: str, hashes: KeyedHashes) -> int:
    """Return the number of failed sign-ins of a user ID since the last success, from anywhere."""
    subjects = [subject for subject, _ in _counters(connection, user_id, hashes)]
    total = sa.select(sa.func.coalesce(sa.func.sum(_failures.failures), 0))
    return int(connection.scalar(total.where(_failures.subject.in_(subjects))) or 0)


def erase(tx: Transaction, user_id: str, hashes: KeyedHashes) -> int:
    """Delete the counters and the addresses of a user, and return the number of addresses."""
    unlock(tx, user_id, hashes)
    return tx.execute(known_addresses.delete().where(_addresses.user_id == user_id)).rowcount


def last_addresses(connection: Connection, user_id: str) -> list[str]:
    """Return the hashes of the last addresses of an account."""
    last = _last_addresses(sa.literal(user_id))
    return list(connection.scalars(sa.select(last.c.address_hash)))


def last_sign_in(
    user_id: sa.ColumnElement[str], address_hash: sa.ColumnElement[str]
) -> sa.ColumnElement[int]:
    """Return when an address was last used; null if it is not one of the last ones."""
    last = _last_addresses(user_id)
    query = sa.select(last.c.last_signed_in_at).where(last.c.address_hash == address_hash)
    return query.scalar_subquery()


def remember_address(tx: Transaction, user_id: str, address_hash: str, now: float) -> None:
    """Store that an address has signed an account in."""
    values = {"user_id": user_id, "address_hash": address_hash, "last_signed_in_at": int(now)}
    run(tx, _remember_in(tx.dialect.name), values)


def renew_address(tx: Transaction, user_id: str, address_hash: str, now: float) -> None:
    """
    Store that an address has refreshed a session, unless it has a time of this day.

    A new address takes a free place only: one that a phone has for an hour ends no other.
    """
    values = {"user_id": user_id, "address_hash": address_hash, "last_signed_in_at": int(now)}
    times = {"day": start_of_day(now), "known_since": int(now) - KNOWN_ADDRESS_SECONDS}
    run(tx, _renew_in(tx.dialect.name), values | times)


def purge_failures(tx: Transaction, now: float, limit: int) -> int:
    """
    Delete counters without an account that are too old or too many.

    An account's number of failures stays until a success, a reset or an unlock.

    Returns:
        Number of deleted rows, at most `limit`.
    """
    time, too_old = _failures.last_failed_at, int(now) - FORGET_SECONDS - 1
    newest_first = sa.select(time).where(IS_WITHOUT_ACCOUNT, time > too_old).order_by(time.desc())
    last_too_many = tx.scalar(newest_first.offset(MAX_WITHOUT_ACCOUNT).limit(1))
    is_old = sa.and_(IS_WITHOUT_ACCOUNT, time <= (last_too_many or too_old))
    return delete_batch(tx, sign_in_failures, is_old, order=time, limit=limit)


def purge_addresses(tx: Transaction, now: float, limit: int) -> int:
    """Delete at most `limit` addresses that were not used for long, and return their number."""
    is_old = _addresses.last_signed_in_at < int(now - KNOWN_ADDRESS_SECONDS)
    order = _addresses.last_signed_in_at
    return delete_batch(tx, known_addresses, is_old, order=order, limit=limit)


def _counters(
    connection: Connection, user_id: str, hashes: KeyedHashes
) -> list[tuple[str, CounterKind]]:
    """Return the counters of a user ID: the shared one first, then those of known addresses."""
    own = (
        hashes.of_user_at(user_id, address_hash)
        for address_hash in last_addresses(connection, user_id)
    )
    return [
        (hashes.of_user_id(user_id), CounterKind.SHARED),
        *((subject, CounterKind.OWN) for subject in own),
    ]


def _key(subject: str, kind: CounterKind) -> dict[str, object]:
    return {"counter_key": subject, "counter_kind": kind}


def _values(counter: Counter) -> dict[str, object]:
    return {"failures": counter.failures, "last_failed_at": counter.last_failed_at}


@cache
def _insert_new_in(dialect: str) -> sa.UpdateBase:
    new = insert_in(dialect, sign_in_failures).on_conflict_do_nothing()
    return new.returning(_failures.failures)


@cache
def _lock_in(dialect: str) -> sa.Insert:
    # Only a row can be locked. A refusal of the attempt also rolls a new one back. The update
    # changes nothing: with it, the statement locks and returns a row that exists.
    row: dict[str, Any] = {
        name: sa.bindparam(name) for name in ("subject", "kind", "failures", "last_failed_at")
    }
    locked = (
        insert_in(dialect, sign_in_failures)
        .values(row)
        .on_conflict_do_update(
            index_elements=[_failures.subject, _failures.kind],
            set_={"failures": _failures.failures},
        )
    )
    return locked.returning(_failures.failures, _failures.last_failed_at)


@cache
def _remember_in(dialect: str) -> sa.Insert:
    return _remember(insert_in(dialect, known_addresses))


@cache
def _renew_in(dialect: str) -> sa.Insert:
    names = ("user_id", "address_hash", "last_signed_in_at")
    of_user = _addresses.user_id == sa.bindparam("user_id")
    is_stored = of_user & (_addresses.address_hash == sa.bindparam("address_hash"))
    is_known = of_user & (_addresses.last_signed_in_at > sa.bindparam("known_since"))
    known = sa.select(sa.func.count()).where(is_known).scalar_subquery()
    row = sa.select(*(sa.bindparam(name, type_=_addresses[name].type) for name in names))
    row = row.where(sa.exists().where(is_stored) | (known < KNOWN_ADDRESSES))
    renew = insert_in(dialect, known_addresses).from_select(names, row)
    return _remember(renew, where=_addresses.last_signed_in_at < sa.bindparam("day"))


def _remember(row: Any, where: sa.ColumnElement[bool] | None = None) -> sa.Insert:
    """Return the insert of an address that updates the time of one that is stored."""
    stored: sa.Insert = row.on_conflict_do_update(
        index_elements=[_addresses.user_id, _addresses.address_hash],
        set_={"last_signed_in_at": row.excluded.last_signed_in_at},
        where=where,
    )
    return stored


def _last_addresses(user_id: sa.ColumnElement[str]) -> sa.Subquery:
    columns = (_addresses.address_hash, _addresses.last_signed_in_at)
    newest_first = (_addresses.last_signed_in_at.desc(), _addresses.address_hash)
    of_user = sa.select(*columns).where(_addresses.user_id == user_id)
    return of_user.order_by(*newest_first).limit(KNOWN_ADDRESSES).subquery()
