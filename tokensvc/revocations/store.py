"""
The rows of acts, and the standings that they move, under a lock.

Everywhere `user_id` is `None` for everyone: the app's own standing and acts.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from tokensvc.core.errors import Code, Refusal
from tokensvc.database.engine import Transaction
from tokensvc.database.tables import app_standing, revocations, user_standings
from tokensvc.revocations import rules
from tokensvc.revocations.rules import Act, RevocationKind

_acts = revocations.c
_users = user_standings.c


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


_CLEAN = StoredStanding(None, 0, None)


def lock(tx: Transaction, user_id: str | None, *, create: bool = True) -> StoredStanding:
    """
    Hold a standing until the transaction ends.

    Args:
        create: Make sure that there is a row, since only a row can be held. Without one the
            standing that is given must not be written.
    """
    if create and user_id is not None:
        insert = postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert
        tx.execute(insert(user_standings).values(user_id=user_id).on_conflict_do_nothing())
    return _read(tx, user_id, locked=True)


def read(connection: sa.Connection, user_id: str | None) -> StoredStanding:
    """Give the standing as it is; a user without a row has a clean one."""
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
        tx.execute(user_standings.update().where(_users.user_id == user_id).values(values))


def acts(connection: sa.Connection, user_id: str | None) -> list[Act]:
    """Give all acts, oldest first."""
    rows = connection.execute(sa.select(revocations).where(_of(user_id)).order_by(_acts.id))
    return [_act(row) for row in rows]


def revocations_by_user(connection: sa.Connection, user_ids: Sequence[str]) -> dict[str, list[Act]]:
    """Give the acts that stand, by user."""
    stand = sa.select(revocations).where(_acts.user_id.in_(user_ids), _acts.undone_at.is_(None))
    found: dict[str, list[Act]] = {user_id: [] for user_id in user_ids}
    for row in connection.execute(stand.order_by(_acts.id)):
        found[row.user_id].append(_act(row))
    return found


def add_revocation(
    tx: Transaction,
    user_id: str | None,
    *,
    kind: RevocationKind,
    cut_off: int,
    now: float,
    actor: str,
    reason: str | None,
) -> str:
    """Write an act and give its id."""
    previous = tx.scalar(sa.select(sa.func.max(_acts.id)).where(_of(user_id)))
    act_id = rules.next_revocation_id(previous, now, secrets.token_hex(4))
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


def confirm_revocation(tx: Transaction, act_id: str, cut_off: int) -> None:
    """Write the cut-off of an act for good."""
    values = {"tokens_valid_after": cut_off, "settled": True}
    tx.execute(revocations.update().where(_acts.id == act_id).values(values))


def mark_undone(tx: Transaction, act_id: str, now: float) -> None:
    """Note that an act no longer counts."""
    tx.execute(revocations.update().where(_acts.id == act_id).values(undone_at=int(now)))


def page_of_users(
    connection: sa.Connection, *, suspended: bool | None, after: str | None, limit: int
) -> dict[str, StoredStanding]:
    """Give the standings of users who have a row, in alphabetical order."""
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


def _read(connection: sa.Connection, user_id: str | None, *, locked: bool) -> StoredStanding:
    if user_id is None:
        app = app_standing.c
        statement = sa.select(app.tokens_valid_after, app.floor, sa.null())
    else:
        statement = sa.select(_users.tokens_valid_after, _users.floor, _users.suspended_at).where(
            _users.user_id == user_id
        )
    row = connection.execute(statement.with_for_update() if locked else statement).first()
    if row is not None:
        return StoredStanding(*row)
    if user_id is not None:
        return _CLEAN
    # An act on a row that is not there would be answered and do nothing.
    raise Refusal(
        Code.TEMPORARILY_UNAVAILABLE,
        "The service's database is not complete: an operator must look.",
        reason="app_standing has no row",
        retry_after=30,
    )


def _of(user_id: str | None) -> sa.ColumnElement[bool]:
    return _acts.user_id.is_(None) if user_id is None else _acts.user_id == user_id


def _act(row: Any) -> Act:
    return Act(
        id=row.id,
        kind=RevocationKind(row.kind),
        created_at=row.created_at,
        tokens_valid_after=row.tokens_valid_after,
        settled=row.settled,
        undone=row.undone_at is not None,
        reason=row.reason,
    )
