"""
The versions of both key rings.

They are in the app's row, whose lock orders the changes of the rings.
"""

import secrets
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from tokensvc.core.clock import Clock
from tokensvc.database.engine import Database, Transaction
from tokensvc.standing.clocked_read import fetch_clocked
from tokensvc.standing.rules import Ring, RingVersion, incomplete_database
from tokensvc.standing.tables import app_standing

_app = app_standing.c
RING_VERSIONS = {
    Ring.STREAM: (_app.stream_ring_version, _app.ring_id),
    Ring.SIGNING: (_app.signing_ring_version, _app.signing_ring_id),
}
"""Counter and random ID of each ring's version."""
_READ = {ring: sa.select(*columns) for ring, columns in RING_VERSIONS.items()}


def lock(tx: Transaction) -> None:
    """Prevent other transactions from changing a key ring until this one ends."""
    tx.execute(sa.select(_app.id).with_for_update())


def read(connection: sa.Connection, ring: Ring) -> RingVersion:
    """Return the version of a key ring."""
    row = connection.execute(_READ[ring]).first()
    if row is None:
        raise incomplete_database()
    return RingVersion(*row)


def read_signing_ring(database: Database, clock: Clock) -> tuple[float, RingVersion]:
    """
    Return the time in epoch seconds and the version of the ring of signing keys, in one statement.

    Args:
        clock: Clock of this host, used on SQLite.
    """
    (row, *_), now = fetch_clocked(database, clock, _READ[Ring.SIGNING], {})
    return now, RingVersion(*row)


def change(tx: Transaction, ring: Ring) -> None:
    """Write a version that never existed before, so that every process reloads the key ring."""
    counter, ring_id = RING_VERSIONS[ring]
    values = {counter: counter + 1, ring_id: secrets.token_hex(16)}
    tx.execute(app_standing.update().values(values))


def select_with_rows(
    ring: Ring,
    table: sa.FromClause,
    condition: sa.ColumnElement[bool],
    columns: Iterable[sa.ColumnElement[Any]],
) -> sa.Select[Any]:
    """
    Return a statement that reads the version of a ring and its rows together.

    Returns:
        A statement whose rows start with the members of the version. One row with nulls if no row
        fits.
    """
    joined = app_standing.outerjoin(table, condition)
    return sa.select(*RING_VERSIONS[ring], *columns).select_from(joined)
