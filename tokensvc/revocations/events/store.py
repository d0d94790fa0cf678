"""The rows of providers' events: which were applied, and which sessions they ended."""

from typing import Final

import sqlalchemy as sa

from tokensvc.database.deletion import delete_batch
from tokensvc.database.engine import Transaction
from tokensvc.database.upsert import insert
from tokensvc.issuers.events import ProviderEvent, ProviderSession
from tokensvc.revocations.events.tables import applied_events, ended_provider_sessions

_sessions = ended_provider_sessions.c
PROVIDER_SESSION_HAS_ENDED: Final = sa.exists().where(
    _sessions.key == sa.bindparam("provider_session", type_=sa.Text)
)
"""Condition that the session of the parameter `provider_session` has ended."""


def add_event(tx: Transaction, event: ProviderEvent) -> bool:
    """Remember an event until it has expired. Return false if it was applied before."""
    row = insert(tx, applied_events).values(key=event.key, expires_at=event.remembered_until)
    added = tx.execute(row.on_conflict_do_nothing().returning(applied_events.c.key))
    return added.first() is not None


def end_session(tx: Transaction, session: ProviderSession) -> None:
    """Refuse the tokens of a session until each of them has expired."""
    row = insert(tx, ended_provider_sessions).values(
        key=session.provider_session, expires_at=session.refused_until
    )
    tx.execute(
        row.on_conflict_do_update(
            index_elements=[_sessions.key], set_={"expires_at": row.excluded.expires_at}
        )
    )


def purge(tx: Transaction, now: float, limit: int) -> int:
    """Delete the events, and the sessions, whose tokens have all expired."""
    return max(
        delete_batch(
            tx, table, table.c.expires_at < int(now), order=table.c.expires_at, limit=limit
        )
        for table in (applied_events, ended_provider_sessions)
    )
