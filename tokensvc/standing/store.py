"""
The rows of both standing tables. No other package reads, locks or writes them.

The app's row also has the version of the key ring; its lock orders changes of the ring.
"""

import secrets
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from tokensvc.core.clock import Clock
from tokensvc.core.errors import Code, Refusal
from tokensvc.core.targets import APP, Target
from tokensvc.database.engine import Database, Transaction
from tokensvc.database.tables import app_standing, user_standings
from tokensvc.database.upsert import insert
from tokensvc.standing.rules import RingVersion, Standing

_app = app_standing.c
_users = user_standings.c
_EPOCH = sa.cast(sa.func.floor(sa.extract("epoch", sa.func.now())), sa.BigInteger)
"""Clock of PostgreSQL."""
_ring_version = (_app.stream_ring_version, _app.ring_id)


@dataclass(frozen=True, slots=True)
class StoredStanding:
    """
    The row of a user or of the app.

    Attributes:
        tokens_valid_after: Cut-off in epoch seconds; `None` if none is in effect.
        floor: Highest cut-off ever set.
        suspended_at: Epoch seconds; always `None` for the app.
    """

    tokens_valid_after: int | None
    floor: int
    suspended_at: int | None


_CLEAN = StoredStanding(None, 0, None)


class StandingStore:
    """
    Reads standings for requests, in one statement.

    Nothing is cached: each read that begins after a revocation sees it.

    Args:
        clock: Clock of this host, used on SQLite. PostgreSQL's statement reads its own clock.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._clock = clock
        self._has_clock = database.dialect == "postgresql"
        self._read = database.prepare(_statement(with_clock=self._has_clock))

    def read(self, user_id: str) -> Standing:
        """
        Return the combined standing of a user and the app. A user without a row has a clean one.

        Raises:
            Refusal: `temporarily_unavailable`.
        """
        # Read the clock before the statement: see `Standing.now`.
        now = int(self._clock())
        row = self._read.fetch({"user_id": user_id})
        if row is None:
            raise incomplete_database()
        app_cut_off, app_floor, counter, ring_id, cut_off, floor, suspended_at = row[:7]
        return Standing(
            now=row[7] if self._has_clock else now,
            suspended=suspended_at is not None,
            tokens_valid_after=_latest(app_cut_off, cut_off),
            floor=max(app_floor, floor or 0),
            ring_version=RingVersion(counter, ring_id),
        )


class FloorReader:
    """
    Reads the highest floor of all in one statement: each worker does so every second.

    Args:
        clock: Clock of this host, used on SQLite. PostgreSQL's statement reads its own clock.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._clock = clock
        self._has_clock = database.dialect == "postgresql"
        of_users = sa.select(sa.func.max(_users.floor)).scalar_subquery()
        columns = [_app.floor, of_users, *([_EPOCH] if self._has_clock else [])]
        self._read = database.prepare(sa.select(*columns))

    def seconds_ahead(self) -> int:
        """
        Return by how much the highest floor is in the future; at most 0 if it is not.

        Raises:
            Refusal: `temporarily_unavailable`.
        """
        row = self._read.fetch({})
        if row is None:
            raise incomplete_database()
        now = row[2] if self._has_clock else int(self._clock())
        return int(max(row[0], row[1] or 0) - now)


def read(connection: sa.Connection, target: Target) -> StoredStanding:
    """
    Return the row of a target. A user without a row has a clean standing.

    Raises:
        Refusal: `temporarily_unavailable` if the app's row is missing.
    """
    return _stored(connection.execute(_row_of(target)).first(), target)


def lock(tx: Transaction, target: Target, *, create: bool = True) -> StoredStanding:
    """
    Lock the row of a target until the transaction ends, and return it.

    Args:
        create: Whether to create a missing row, since only a row can be locked. Without a row,
            the returned standing must not be written.

    Raises:
        Refusal: `temporarily_unavailable` if the app's row is missing.
    """
    if create and target.user_id is not None:
        row = insert(tx, user_standings).values(user_id=target.user_id)
        tx.execute(row.on_conflict_do_nothing())
    return _stored(tx.execute(_row_of(target).with_for_update()).first(), target)


def write(tx: Transaction, target: Target, standing: StoredStanding) -> None:
    """Write the row of a target that `lock` created or found."""
    values: dict[str, int | None] = {
        "tokens_valid_after": standing.tokens_valid_after,
        "floor": standing.floor,
    }
    if target.user_id is None:
        tx.execute(app_standing.update().values(values))
    else:
        values["suspended_at"] = standing.suspended_at
        tx.execute(user_standings.update().where(_users.user_id == target.user_id).values(values))


def page_of_users(
    connection: sa.Connection, *, suspended: bool | None, after: str | None, limit: int
) -> dict[str, StoredStanding]:
    """Return the standings of users who have a row, in the order of their IDs."""
    statement = sa.select(user_standings)
    if after is not None:
        statement = statement.where(_users.user_id > after)
    if suspended is not None:
        is_suspended = _users.suspended_at.is_not(None)
        statement = statement.where(is_suspended if suspended else ~is_suspended)
    rows = connection.execute(statement.order_by(_users.user_id).limit(limit))
    return {
        row.user_id: StoredStanding(row.tokens_valid_after, row.floor, row.suspended_at)
        for row in rows
    }


def targets_with_floor_after(
    connection: sa.Connection, seconds: int, limit: int | None = None
) -> list[Target]:
    """
    Return the app and the users whose floor is after a time, the app first.

    Args:
        seconds: Epoch seconds.
        limit: Maximum number of users.
    """
    app = connection.execute(sa.select(_app.id).where(_app.floor > seconds))
    users = sa.select(_users.user_id).where(_users.floor > seconds).limit(limit)
    return [APP for _ in app] + [Target(user_id) for user_id in connection.scalars(users)]


def cut_offs(connection: sa.Connection, user_ids: Collection[str]) -> dict[str, int | None]:
    """Return the cut-off of each user in epoch seconds; `None` if none is in effect."""
    statement = sa.select(_users.user_id, _users.tokens_valid_after)
    rows = connection.execute(statement.where(_users.user_id.in_(user_ids)))
    found = {row.user_id: row.tokens_valid_after for row in rows}
    return {user_id: found.get(user_id) for user_id in user_ids}


def lock_ring(tx: Transaction) -> None:
    """Prevent other transactions from changing the key ring until this one ends."""
    tx.execute(sa.select(_app.id).with_for_update())


def ring_version(connection: sa.Connection) -> RingVersion:
    """
    Return the version of the key ring.

    Raises:
        Refusal: `temporarily_unavailable` if the app's row is missing.
    """
    row = connection.execute(sa.select(*_ring_version)).first()
    if row is None:
        raise incomplete_database()
    return RingVersion(*row)


def change_ring_version(tx: Transaction) -> None:
    """Write a version that never existed before, so that every process reloads the key ring."""
    counter = _app.stream_ring_version + 1
    ring_id = secrets.token_hex(16)
    tx.execute(app_standing.update().values(stream_ring_version=counter, ring_id=ring_id))


def select_with_ring_version(
    table: sa.Table, condition: sa.ColumnElement[bool], columns: Iterable[sa.ColumnElement[Any]]
) -> sa.Select[Any]:
    """
    Return a statement that reads the ring version and rows of the ring together.

    Returns:
        A statement whose rows start with the members of the version. One row with nulls if no row
        fits.
    """
    joined = app_standing.outerjoin(table, condition)
    return sa.select(*_ring_version, *columns).select_from(joined)


def incomplete_database() -> Refusal:
    """Return the refusal for a database without the app's row."""
    return Refusal(
        Code.TEMPORARILY_UNAVAILABLE,
        "The service's database is incomplete. Contact the operator.",
        reason="app_standing has no row",
        retry_after=30,
    )


def _statement(*, with_clock: bool) -> sa.Select[Any]:
    columns: list[sa.ColumnElement[Any]] = [
        _app.tokens_valid_after,
        _app.floor,
        *_ring_version,
        _users.tokens_valid_after,
        _users.floor,
        _users.suspended_at,
    ]
    if with_clock:
        columns.append(_EPOCH)
    is_user = _users.user_id == sa.bindparam("user_id")
    return (
        sa.select(*columns)
        .select_from(app_standing.outerjoin(user_standings, is_user))
        .where(_app.id == sa.literal_column("1"))
    )


def _row_of(target: Target) -> sa.Select[Any]:
    if target.user_id is None:
        return sa.select(_app.tokens_valid_after, _app.floor, sa.null())
    return sa.select(_users.tokens_valid_after, _users.floor, _users.suspended_at).where(
        _users.user_id == target.user_id
    )


def _stored(row: Any, target: Target) -> StoredStanding:
    if row is not None:
        return StoredStanding(*row)
    if target.user_id is not None:
        return _CLEAN
    # Without the row, an action would report success and change nothing.
    raise incomplete_database()


def _latest(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)
