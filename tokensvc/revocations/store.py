"""
The rows of acts, and the standings that they move, under a lock.

Everywhere `user_id` is `None` for everyone: the app's own standing and acts.
"""

import secrets
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from tokensvc.database.engine import Transaction
from tokensvc.database.tables import app_standing, revocations, user_standings
from tokensvc.revocations.rules import Act, Kind

_acts = revocations.c


@dataclass(frozen=True, slots=True)
class StoredStanding:
    """
    A standing as acts see it.

    Attributes:
        tokens_valid_after: The cut-off that stands, epoch seconds.
        floor: The highest cut-off ever.
        suspended_at: Epoch seconds; `None` for everyone.
    """

    tokens_valid_after: int | None
    floor: int
    suspended_at: int | None


def lock(tx: Transaction, user_id: str | None) -> StoredStanding:
    """Make sure that the row exists, and hold it until the transaction ends."""
    if user_id is not None:
        insert = postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert
        tx.execute(insert(user_standings).values(user_id=user_id).on_conflict_do_nothing())
    return _read(tx, user_id, locked=True)


def read(connection: sa.Connection, user_id: str | None) -> StoredStanding:
    """Give the standing as it is; who has no row has a clean one."""
    return _read(connection, user_id, locked=False)


def write(tx: Transaction, user_id: str | None, standing: StoredStanding) -> None:
    """Write a standing that is locked."""
    values: dict[str, int | None] = {
        "tokens_valid_after": standing.tokens_valid_after,
        "floor": standing.floor,
    }
    if user_id is None:
        tx.execute(app_standing.update().values(values))
    else:
        values["suspended_at"] = standing.suspended_at
        row = user_standings.c.user_id == user_id
        tx.execute(user_standings.update().where(row).values(values))


def acts(connection: sa.Connection, user_id: str | None) -> list[Act]:
    """Give all acts, oldest first."""
    whose = _acts.user_id.is_(None) if user_id is None else _acts.user_id == user_id
    rows = connection.execute(sa.select(revocations).where(whose).order_by(_acts.id))
    return [
        Act(
            id=row.id,
            kind=Kind(row.kind),
            created_at=row.created_at,
            tokens_valid_after=row.tokens_valid_after,
            undone=row.undone_at is not None,
            reason=row.reason,
        )
        for row in rows
    ]


def add_act(
    tx: Transaction,
    user_id: str | None,
    *,
    kind: Kind,
    cut_off: int,
    now: float,
    actor: str,
    reason: str | None,
) -> str:
    """Write an act and give its id. Ids are in the order of the acts, which the lock makes one."""
    act_id = f"rev_{int(now * 1_000_000):014x}{secrets.token_hex(4)}"
    tx.execute(
        revocations.insert().values(
            id=act_id,
            user_id=user_id,
            kind=kind,
            tokens_valid_after=cut_off,
            created_at=int(now),
            actor=actor,
            reason=reason,
        )
    )
    return act_id


def raise_act(tx: Transaction, act_id: str, cut_off: int) -> None:
    """Move the cut-off of an act."""
    tx.execute(revocations.update().where(_acts.id == act_id).values(tokens_valid_after=cut_off))


def undo_act(tx: Transaction, act_id: str, now: float) -> None:
    """Note that an act no longer counts."""
    tx.execute(revocations.update().where(_acts.id == act_id).values(undone_at=int(now)))


def page_of_users(
    connection: sa.Connection, *, suspended: bool | None, after: str | None, limit: int
) -> list[str]:
    """Give the ids of users who have a row, in alphabetical order."""
    columns = user_standings.c
    statement = sa.select(columns.user_id).where(columns.user_id > (after or ""))
    if suspended is not None:
        is_suspended = columns.suspended_at.is_not(None)
        statement = statement.where(is_suspended if suspended else ~is_suspended)
    return list(connection.scalars(statement.order_by(columns.user_id).limit(limit)))


def _read(connection: sa.Connection, user_id: str | None, *, locked: bool) -> StoredStanding:
    if user_id is None:
        columns = app_standing.c
        statement = sa.select(columns.tokens_valid_after, columns.floor, sa.null())
    else:
        users = user_standings.c
        statement = sa.select(users.tokens_valid_after, users.floor, users.suspended_at).where(
            users.user_id == user_id
        )
    row = connection.execute(statement.with_for_update() if locked else statement).first()
    return StoredStanding(*row) if row is not None else StoredStanding(None, 0, None)
