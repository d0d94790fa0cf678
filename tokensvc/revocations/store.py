"""The rows of revocations."""

import secrets
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from tokensvc.audit.rules import Details
from tokensvc.audit.store import masked_reason
from tokensvc.core.actions import ActionContext, Target
from tokensvc.core.ids import sortable_id
from tokensvc.database.deletion import delete_batch
from tokensvc.database.engine import Database, Transaction
from tokensvc.database.upsert import insert
from tokensvc.revocations.rules import Revocation, StoredRevocation
from tokensvc.revocations.tables import IS_UNCONFIRMED, revocations
from tokensvc.standing.rules import RevocationKind, next_bound
from tokensvc.standing.store import SELECT_UNCONFIRMED_RENEWALS
from tokensvc.stream.delivery import store as deliveries
from tokensvc.stream.delivery.rules import OBSOLETE_AFTER

_columns = revocations.c
_UNCONFIRMED = sa.union(
    sa.select(_columns.user_id).where(IS_UNCONFIRMED), SELECT_UNCONFIRMED_RENEWALS
).limit(sa.bindparam("limit", type_=sa.Integer))


def revocations_of(connection: sa.Connection, target: Target) -> list[StoredRevocation]:
    """Return all revocations of a target, including undone ones, oldest first."""
    statement = sa.select(revocations).where(_is_of(target)).order_by(_columns.id)
    return [_stored(row) for row in connection.execute(statement)]


def revocations_by_user(
    connection: sa.Connection, user_ids: Sequence[str]
) -> dict[str, list[StoredRevocation]]:
    """Return the revocations in effect by user ID, each user's oldest first."""
    statement = sa.select(revocations).where(
        _columns.user_id.in_(user_ids), _columns.undone_at.is_(None)
    )
    found: dict[str, list[StoredRevocation]] = {user_id: [] for user_id in user_ids}
    for row in connection.execute(statement.order_by(_columns.id)):
        found[row.user_id].append(_stored(row))
    return found


def suspended_by(connection: sa.Connection, target: Target) -> str | None:
    """Return the actor of the latest suspension of a target."""
    is_suspension = _columns.kind == RevocationKind.SUSPENSION
    statement = sa.select(_columns.actor).where(_is_of(target), is_suspension)
    return connection.scalar(statement.order_by(_columns.id.desc()).limit(1))


def unconfirmed_targets(database: Database, limit: int) -> list[Target]:
    """Return at most `limit` targets of unconfirmed actions and renewals, without a transaction."""
    rows = database.fetch(_UNCONFIRMED, {"limit": limit})
    return [Target(user_id) for (user_id,) in rows]


def add_revocation(
    tx: Transaction,
    target: Target,
    kind: RevocationKind,
    context: ActionContext,
    *,
    cut_off: int,
    now: float,
) -> Details:
    """
    Insert a revocation of a target whose standing is locked.

    Args:
        context: Actor and reason. Secrets in the reason are masked.
        cut_off: Epoch seconds.

    Returns:
        The details of its audit event.
    """
    previous = tx.scalar(sa.select(sa.func.max(_columns.id)).where(_is_of(target)))
    revocation_id = sortable_id("rev", previous, now, secrets.token_hex(4))
    tx.execute(
        revocations.insert().values(
            id=revocation_id,
            user_id=target.user_id,
            kind=kind,
            tokens_valid_after=cut_off,
            created_at=int(now),
            actor=context.actor,
            reason=masked_reason(context.reason),
        )
    )
    return {"revocation": revocation_id, "tokens_valid_after": cut_off}


def restore_revocation(tx: Transaction, target: Target, added: Revocation, actor: str) -> None:
    """
    Insert a revocation that the database lost, under its ID, if it does not have it.

    It is confirmed: its cut-off is in the past.
    """
    row = insert(tx, revocations).values(
        id=added.id,
        user_id=target.user_id,
        kind=added.kind,
        tokens_valid_after=added.tokens_valid_after,
        created_at=added.created_at,
        confirmed=True,
        actor=actor,
        reason=None,
    )
    tx.execute(row.on_conflict_do_nothing())


def confirm_revocation(tx: Transaction, revocation_id: str, cut_off: int) -> None:
    """Write the final cut-off of a revocation, and mark it as confirmed."""
    values = {"tokens_valid_after": cut_off, "confirmed": True}
    tx.execute(revocations.update().where(_columns.id == revocation_id).values(values))


def lower_cut_offs(tx: Transaction, target: Target, cut_off: int) -> None:
    """Lower the cut-offs of a target that are higher, those of undone revocations too."""
    higher = revocations.update().where(_is_of(target), _columns.tokens_valid_after > cut_off)
    tx.execute(higher.values(tokens_valid_after=cut_off))


def lower_cut_offs_again(
    tx: Transaction, target: Target, cut_off: int, *, lowered_at: int, now: float
) -> None:
    """
    Lower the cut-offs that were lowered at an earlier time, or are still in the future.

    Args:
        lowered_at: Epoch seconds. A revocation from after this time stays.
    """
    is_meant = sa.or_(
        _columns.created_at <= lowered_at, _columns.tokens_valid_after > next_bound(None, now)
    )
    higher = _columns.tokens_valid_after > cut_off
    row = revocations.update().where(_is_of(target), higher, is_meant)
    tx.execute(row.values(tokens_valid_after=cut_off))


def mark_undone(tx: Transaction, revocation_id: str, now: float) -> None:
    """Record that a revocation is no longer in effect."""
    row = revocations.update().where(_columns.id == revocation_id)
    tx.execute(row.values(undone_at=int(now)))


def purge(tx: Transaction, now: float, limit: int, *, retention: int) -> int:
    """
    Delete undone revocations and finished deliveries, which no decision needs.

    A revocation in effect stays, however old: an undo of a later one goes back to its cut-off.
    Standings stay too: they contain the cut-off, its floor and the epoch of sessions.

    Args:
        retention: Seconds for which the rows are kept. Deliveries are kept for at least as long as
            a token from before the cut-off can be valid, because Stream may lose a cut-off.
    """
    undone_at, undone_before = _columns.undone_at, int(now - retention)
    is_old = undone_at.is_not(None) & (undone_at < undone_before)
    finished_before = now - max(retention, OBSOLETE_AFTER)
    return max(
        delete_batch(tx, revocations, is_old, order=undone_at, limit=limit),
        deliveries.purge_finished(tx, finished_before, limit),
    )


def _is_of(target: Target) -> sa.ColumnElement[bool]:
    if target.user_id is None:
        return _columns.user_id.is_(None)
    return _columns.user_id == target.user_id


def _stored(row: Any) -> StoredRevocation:
    return StoredRevocation(
        id=row.id,
        created_at=row.created_at,
        tokens_valid_after=row.tokens_valid_after,
        kind=RevocationKind(row.kind),
        confirmed=row.confirmed,
        undone=row.undone_at is not None,
        reason=row.reason,
    )
