"""The rows of both standing tables. No other package reads, locks or writes them."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

import sqlalchemy as sa

from tokensvc.core.actions import APP, Target
from tokensvc.core.clock import Clock
from tokensvc.database.engine import Database, Transaction
from tokensvc.database.upsert import insert
from tokensvc.standing.clocked_read import fetch_clocked
from tokensvc.standing.ring_versions import RING_VERSIONS
from tokensvc.standing.rules import (
    Epochs,
    Ring,
    RingVersion,
    Standing,
    StoredStanding,
    combine,
    incomplete_database,
    user_erased,
    with_floor,
)
from tokensvc.standing.tables import IS_RENEWAL_UNCONFIRMED, app_standing, user_standings

_app = app_standing.c
_users = user_standings.c
STANDING_COLUMNS: tuple[sa.ColumnElement[Any], ...] = (
    _app.tokens_valid_after,
    _app.floor,
    *RING_VERSIONS[Ring.STREAM],
    _users.tokens_valid_after,
    _users.floor,
    _users.suspended_at,
    _users.erased_at,
)
"""Columns of which `standing_of` makes a standing."""
_is_app = _app.id == sa.literal_column("1")
_is_user = _users.user_id == sa.bindparam("user_id")
SELECT_FOR_SIGN_IN: sa.Select[Any] = sa.select(
    _users.epoch, _app.epoch, _users.suspended_at, *RING_VERSIONS[Ring.SIGNING]
).select_from(app_standing.outerjoin(user_standings, _is_user))
"""
Reads the standings that a sign-in depends on; it has the parameter `user_id`.

Its row: the epochs of the user and of the app, the time of the suspension, and the version of the
ring of signing keys.
"""
SELECT_UNCONFIRMED_RENEWALS: sa.Select[Any] = sa.select(_users.user_id).where(
    IS_RENEWAL_UNCONFIRMED
)
"""Selects the IDs of users whose latest renewal was not compared with the clock yet."""


def select_with_session(
    table: sa.FromClause,
    condition: sa.ColumnElement[bool],
    user_id: sa.ColumnElement[str],
    columns: Iterable[sa.ColumnElement[Any]],
) -> sa.Select[Any]:
    """
    Return a statement that reads a session and the standings that apply to it together.

    Returns:
        A statement whose row has the columns, nulls without a session; the epochs of the user and
        of the app; the version of the ring of signing keys; and `STANDING_COLUMNS`.
    """
    with_session = app_standing.outerjoin(table, condition)
    with_user = with_session.outerjoin(user_standings, _users.user_id == user_id)
    epochs = (_users.epoch, _app.epoch)
    selected = sa.select(*columns, *epochs, *RING_VERSIONS[Ring.SIGNING], *STANDING_COLUMNS)
    return selected.select_from(with_user).where(_is_app)


_CLEAN = StoredStanding()
_NAMES = tuple(field.name for field in fields(StoredStanding))
_STORED = tuple(_users[name] for name in _NAMES)
_STORED_OF_APP = tuple(_app[name] for name in _NAMES if name in _app)


_STANDING = (
    sa.select(*STANDING_COLUMNS)
    .select_from(app_standing.outerjoin(user_standings, _is_user))
    .where(_is_app)
)
_APP_FLOOR = sa.select(_app.floor).where(_is_app)
_NEVER = sa.false()
_FLOORS = sa.select(_app.floor, sa.select(sa.func.max(_users.floor)).scalar_subquery())


class StandingStore:
    """
    Reads standings for requests, in one statement.

    Args:
        clock: Clock of this host, used on SQLite.
        has_account: Condition that the user of the parameter `user_id` has an account.
        provider_session_has_ended: Condition that the session of the parameter `provider_session`
            has ended.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        has_account: sa.ColumnElement[bool] = _NEVER,
        provider_session_has_ended: sa.ColumnElement[bool] = _NEVER,
    ) -> None:
        self._database = database
        self._clock = clock
        self._with_account = _STANDING.add_columns(has_account)
        self._with_provider_session = _STANDING.add_columns(provider_session_has_ended)

    def read(self, user_id: str) -> Standing:
        """Return the combined standing of a user and the app; without a row it is a clean one."""
        values = {"user_id": user_id}
        (row, *_), now = fetch_clocked(self._database, self._clock, _STANDING, values)
        return standing_of(row, int(now))

    def read_with_account(self, user_id: str) -> Standing:
        """Return what `read` returns, and whether the user has an account."""
        standing, has_account = self._read_with(self._with_account, {"user_id": user_id})
        return replace(standing, has_account=has_account)

    def read_with_provider_session(self, user_id: str, key: str) -> Standing:
        """Return what `read` returns, and whether the provider's session with a key has ended."""
        values = {"user_id": user_id, "provider_session": key}
        standing, has_ended = self._read_with(self._with_provider_session, values)
        return replace(standing, session_has_ended=has_ended)

    def _read_with(self, statement: sa.Select[Any], values: Any) -> tuple[Standing, bool]:
        """Return a standing, and whether the condition in the last column is met."""
        (row, *_), now = fetch_clocked(self._database, self._clock, statement, values)
        *columns, is_met = row
        return standing_of(columns, int(now)), bool(is_met)


def standing_of(columns: Sequence[Any], now: int) -> Standing:
    """Return the combined standing in the values of `STANDING_COLUMNS`."""
    app_cut_off, app_floor, counter, ring_id, cut_off, floor, suspended_at, erased_at = columns
    return combine(
        now,
        RingVersion(counter, ring_id),
        (app_cut_off, app_floor),
        (cut_off, floor, suspended_at, erased_at),
    )


def floor_seconds_ahead(database: Database, clock: Clock) -> int:
    """
    Return by how much the highest floor of all is in the future; at most 0 if it is not.

    One statement, because each worker runs it every second.

    Args:
        clock: Clock of this host, used on SQLite.
    """
    ((of_app, of_users), *_), now = fetch_clocked(database, clock, _FLOORS, {})
    return int(max(of_app, of_users or 0)) - int(now)


def app_floor(database: Database) -> int:
    """Return the highest cut-off of all users that was ever set, in epoch seconds."""
    return int(database.fetch(_APP_FLOOR)[0][0])


def read(connection: sa.Connection, target: Target) -> StoredStanding:
    """Return the row of a target. A user without a row has a clean standing."""
    return _stored(connection.execute(_row_of(target)).first(), target)


def check_not_erased(connection: sa.Connection, user_id: str) -> None:
    """
    Refuse what would give an erased user's ID to another person, or data to an erased user.

    Raises:
        Refusal: `user_erased`.
    """
    if read(connection, Target(user_id)).erased_at is not None:
        raise user_erased()


def lock(tx: Transaction, target: Target, *, create: bool = True) -> StoredStanding:
    """
    Lock the row of a target until the transaction ends, and return it.

    Args:
        create: Whether to create a missing row, since only a row can be locked. Without a row,
            the returned standing must not be written.
    """
    if create and target.user_id is not None:
        row = insert(tx, user_standings).values(user_id=target.user_id)
        tx.execute(row.on_conflict_do_nothing())
    return _stored(tx.execute(_row_of(target).with_for_update()).first(), target)


def write(tx: Transaction, target: Target, standing: StoredStanding) -> None:
    """
    Write the row of a target that `lock` created or found. All changes of a bound are made here.

    The floor becomes at least the Stream bound. It falls only if that of `standing` is lower.
    """
    values = asdict(with_floor(standing))
    if target.user_id is None:
        values = {name: value for name, value in values.items() if name in _app}
        tx.execute(app_standing.update().values(values))
    else:
        tx.execute(user_standings.update().where(_users.user_id == target.user_id).values(values))


def page_of_users(
    connection: sa.Connection, *, suspended: bool | None, after: str | None, limit: int
) -> dict[str, StoredStanding]:
    """Return the standings of users who have a row, in the order of their IDs."""
    statement = sa.select(_users.user_id, *_STORED)
    if after is not None:
        statement = statement.where(_users.user_id > after)
    if suspended is not None:
        is_suspended = _users.suspended_at.is_not(None)
        statement = statement.where(is_suspended if suspended else ~is_suspended)
    rows = connection.execute(statement.order_by(_users.user_id).limit(limit))
    return {user_id: StoredStanding(*stored) for user_id, *stored in rows}


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


def stream_bounds(connection: sa.Connection, user_ids: Collection[str]) -> dict[str, int | None]:
    """Return the time before which Stream must refuse the tokens of each user."""
    statement = sa.select(_users.user_id, *_STORED).where(_users.user_id.in_(user_ids))
    rows = connection.execute(statement)
    found = {user_id: StoredStanding(*stored).stream_bound for user_id, *stored in rows}
    return {user_id: found.get(user_id) for user_id in user_ids}


def read_epochs(connection: sa.Connection, user_id: str) -> Epochs:
    """
    Return the epochs for a session that starts now.

    Read them before the password is checked: an action in between then ends the session.
    """
    row = connection.execute(SELECT_FOR_SIGN_IN, {"user_id": user_id}).first()
    if row is None:
        raise incomplete_database()
    return Epochs(user=row[0] or 0, app=row[1])


def has_epochs(
    user_id: sa.ColumnElement[str], user: sa.ColumnElement[int], app: sa.ColumnElement[int]
) -> sa.ColumnElement[bool]:
    """
    Return the condition that the epochs in columns of another table are in effect.

    Args:
        user_id: Column with the ID of the user.
        user: Column with the user's epoch.
        app: Column with the app's epoch.
    """
    of_user = sa.select(_users.epoch).where(_users.user_id == user_id).scalar_subquery()
    of_app = sa.select(_app.epoch).scalar_subquery()
    return (sa.func.coalesce(of_user, 0) == user) & (of_app == app)


def _row_of(target: Target) -> sa.Select[Any]:
    if target.user_id is None:
        return sa.select(*_STORED_OF_APP)
    return sa.select(*_STORED).where(_users.user_id == target.user_id)


def _stored(row: Any, target: Target) -> StoredStanding:
    if row is not None:
        return StoredStanding(**row._mapping)  # noqa: SLF001 - public despite its name
    if target.user_id is not None:
        return _CLEAN
    # Without the row, an action would report success and change nothing.
    raise incomplete_database()
