"""The rows of deliveries."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeAlias

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from tokensvc.database.engine import Transaction
from tokensvc.database.tables import deliveries

DeliveryKind: TypeAlias = Literal["app", "user", "profile"]
APP = ""
"""The subject of the app's one delivery."""


class DeliveryState(StrEnum):
    """How far a state has come on its way to Stream."""

    PENDING = "pending"
    APPLIED = "applied"
    ABSENT = "absent"
    FAILED = "failed"
    MOOT = "moot"


@dataclass(frozen=True, slots=True)
class DeliveryStatus:
    """
    What is known of one delivery.

    Attributes:
        state: `applied` when there is nothing to bring over.
        updated_at: Epoch seconds; `None` when nothing was ever to be brought over.
    """

    state: DeliveryState
    updated_at: int | None
    last_error: str | None


_NOTHING_TO_DELIVER = DeliveryStatus(DeliveryState.APPLIED, None, None)


def mark(tx: Transaction, kind: DeliveryKind, subject: str, now: float) -> None:
    """
    Note, in the transaction of a change, that Stream holds another state from now on.

    A lease that someone holds stays: what they are sending is a version that is no longer current,
    so that it will be sent again.
    """
    insert = postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert
    first = insert(deliveries).values(
        kind=kind,
        subject=subject,
        version=1,
        state=DeliveryState.PENDING,
        due_at=int(now),
        updated_at=int(now),
    )
    again = {
        "version": deliveries.c.version + 1,
        "state": DeliveryState.PENDING,
        "due_at": int(now),
        "attempts": 0,
        "absent_since": None,
        "last_error": None,
        "updated_at": int(now),
    }
    tx.execute(first.on_conflict_do_update(index_elements=["kind", "subject"], set_=again))


def status(connection: sa.Connection, kind: DeliveryKind, subject: str) -> DeliveryStatus:
    """Tell how far a state has come."""
    columns = deliveries.c
    row = connection.execute(
        sa.select(columns.state, columns.updated_at, columns.last_error).where(
            columns.kind == kind, columns.subject == subject
        )
    ).first()
    if row is None:
        return _NOTHING_TO_DELIVER
    return DeliveryStatus(DeliveryState(row.state), row.updated_at, row.last_error)
