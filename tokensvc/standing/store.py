"""The rows of both standing tables. No other package reads, locks or writes them."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from tokensvc.core.clock import Clock
from tokensvc.core.targets import APP, Target
from tokensvc.database.engine import Database, Transaction
from tokensvc.database.upsert import insert
from tokensvc.standing.clocked_read import fetch_clocked
from tokensvc.standing.ring_versions import RING_VERSIONS
from tokensvc.standing.rules import (
    Epochs,
    Ring,
    RingVersion,
    Standing,
    combine,
    incomplete_database,
)
from tokensvc.standing.tables import app_standing, user_standings

_app = app_standing.c
_users = user_standings.c
STANDING_COLUMNS: tuple[sa.ColumnElement[Any], ...] = (
    _app.tokens_valid_after,
    _app.floor,
    *RING_VERSIONS[Ring.STREAM],
    _users.tokens_valid_after,
    _users.floor,
    _users.suspended_at,
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


@dataclass(frozen=True, slots=True)
class StoredStanding:
    """
    The row of a user or of the app.

    Attributes:
        tokens_valid_after: Cut-off in epoch seconds; `None` if none is in effect.
        floor: Highest cut-off ever set.
        suspended_at: Epoch seconds; always `None` for the app.
        epoch: Number of actions that ended all sessions. Nothing lowers it.
    """

    tokens_valid_after: int | None
    floor: int
    suspended_at: int | None
    epoch: int


_CLEAN = StoredStanding(None, 0, None, 0)


_STANDING = (
    sa.select(*STANDING_COLUMNS)
    .select_from(app_standing.outerjoin(user_standings, _is_user))
    .where(_is_app)
)
_FLOORS = sa.select(_app.floor, sa.select(sa.func.max(_users.floor)).scalar_subquery())


class StandingStore:
    """
    Reads standings for requests, in one statement.

    Args:
        clock: Clock of this host, used on SQLite.
        has_account: Condition that the user of the parameter `user_id` has an account; `None`: no
            user has one.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        has_account: sa.ColumnElement[bool] | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        condition = sa.false() if has_account is None else has_account
        self._with_account = _STANDING.add_columns(condition)

    def read(self, user_id: str) -> Standing:
        """Return the combined standing of a user and the app; without a row it is a clean one."""
        values = {"user_id": user_id}
        (row, *_), now = fetch_clocked(self._database, self._clock, _STANDING, values)
        return standing_of(row, int(now))

    def read_with_account(self, user_id: str) -> Standing:
        """Return what `read` returns, and whether the user has an account."""
        values = {"user_id": user_id}
        (row, *_), now = fetch_clocked(self._database, self._clock, self._with_account, values)
        *columns, has_account = row
        return replace(standing_of(columns, int(now)), has_account=bool(has_account))


def standing_of(columns: Sequence[Any], now: int) -> Standing:
    """Return the combined standing in the values of `STANDING_COLUMNS`."""
    app_cut_off, app_floor, counter, ring_id, cut_off, floor, suspended_at = columns
    return combine(
        now,
        RingVersion(counter, ring_id),
        (app_cut_off, app_floor),
        (cut_off, floor, suspended_at),
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


def read(connection: sa.Connection, target: Target) -> StoredStanding:
    """Return the row of a target. A user without a row has a clean standing."""
    return _stored(connection.execute(_row_of(target)).first(), target)


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
    """Write the row of a target that `lock` created or found."""
    values: dict[str, int | None] = {
        "tokens_valid_after": standing.tokens_valid_after,
        "floor": standing.floor,
        "epoch": standing.epoch,
    }
    if target.user_id is None:
        tx.execute(app_standing.update().values(values))
    else:
        values["suspended_at"] = standing.suspended_at
        tx.execute(user_standings.update().where(_users.user_id == target.user_id).values(values))


def set_cut_off(
    tx: Transaction, target: Target, standing: StoredStanding, cut_off: int | None
) -> None:
    """
    Write the row of a target with another cut-off. The floor rises with it, and never falls.

    Args:
        standing: Row that `lock` returned, with the other columns to write.
        cut_off: Epoch seconds; `None` if no revocation is in effect.
    """
    floor = max(standing.floor, cut_off or 0)
    write(tx, target, replace(standing, tokens_valid_after=cut_off, floor=floor))


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
        row.user_id: StoredStanding(row.tokens_valid_after, row.floor, row.suspended_at, row.epoch)
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
        return sa.select(_app.tokens_valid_after, _app.floor, sa.null(), _app.epoch)
    return sa.select(
        _users.tokens_valid_after, _users.floor, _users.suspended_at, _users.epoch
    ).where(_users.user_id == target.user_id)


def _stored(row: Any, target: Target) -> StoredStanding:
    if row is not None:
        return StoredStanding(*row)
    if target.user_id is not None:
        return _CLEAN
    # Without the row, an action would report success and change nothing.
    raise incomplete_database()
