"""The rows of the ring of Stream keys, and of unnamed mints. Knows ciphertexts, never secrets."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from tokensvc.database.engine import Connection, Database, Transaction
from tokensvc.database.tables import stream_keys, unnamed_mints
from tokensvc.database.upsert import insert
from tokensvc.keys.rules import KeyState, StreamKeyInfo, Transition
from tokensvc.standing import store as standings

HOUR = 3600
"""Seconds; unnamed mints are counted by it."""

_KEPT_HOURS = 7 * 24


@dataclass(frozen=True, slots=True)
class StoredKey:
    """
    A key as it lies in the database.

    Attributes:
        secret_ciphertext: `None` once retired.
        wrapped_by: The fingerprint of the encryption key; `None` once retired.
    """

    info: StreamKeyInfo
    secret_ciphertext: str | None = field(repr=False)
    wrapped_by: str | None


@dataclass(frozen=True, slots=True)
class StoredRing:
    """The keys that are not retired, newest first, and the version that they were read at."""

    version: int
    keys: tuple[StoredKey, ...]


@dataclass(frozen=True, slots=True)
class WrappedRow:
    """
    A row with a ciphertext.

    Attributes:
        wrapped_by: The fingerprint of the encryption key that made it.
    """

    id: str
    ciphertext: str = field(repr=False)
    wrapped_by: str


_column = stream_keys.c
_info_columns = tuple(_column[name] for name in StreamKeyInfo.__struct_fields__)
_newest_first = (_column.created_at.desc(), _column.id.desc())


class StreamKeyStore:
    """Reads and writes the ring. Every change bumps its version in the same transaction."""

    def __init__(self, database: Database) -> None:
        live = _column.state != sa.literal_column(f"'{KeyState.RETIRED}'")
        # One statement, so that the keys are those of the version.
        self._read = database.prepare(
            standings.select_with_ring_version(
                stream_keys, live, (_column.secret_ciphertext, _column.wrapped_by, *_info_columns)
            ).order_by(*_newest_first)
        )

    def read(self) -> StoredRing:
        """
        Read the ring as it is now.

        Raises:
            Refusal: `temporarily_unavailable`.
        """
        rows = self._read.fetch_all({})
        keys = (StoredKey(_info(row[3:]), row[1], row[2]) for row in rows if row[1] is not None)
        return StoredRing(version=rows[0][0] if rows else 0, keys=tuple(keys))

    def every_key(self, connection: Connection) -> list[StreamKeyInfo]:
        """Give all keys, the retired ones too, newest first."""
        rows = connection.execute(sa.select(*_info_columns).order_by(*_newest_first))
        return [_info(row) for row in rows]

    def page(self, connection: Connection, *, after: str | None, limit: int) -> list[StreamKeyInfo]:
        """
        Give keys, newest first.

        Args:
            after: The id of the last key that was seen.
        """
        statement = sa.select(*_info_columns).order_by(*_newest_first).limit(limit)
        if after is not None:
            seen = sa.select(_column.created_at, _column.id).where(_column.id == after)
            place = sa.tuple_(_column.created_at, _column.id)
            statement = statement.where(place < seen.scalar_subquery())
        return [_info(row) for row in connection.execute(statement)]

    def ciphertext_of(self, connection: Connection, key_id: str) -> str | None:
        """Give the wrapped secret of a key; `None` once it is retired."""
        return connection.scalar(sa.select(_column.secret_ciphertext).where(_column.id == key_id))

    def add(self, tx: Transaction, key: StoredKey) -> None:
        """Add a key, and let every process know."""
        info = {name: getattr(key.info, name) for name in StreamKeyInfo.__struct_fields__}
        tx.execute(
            stream_keys.insert().values(
                **info, secret_ciphertext=key.secret_ciphertext, wrapped_by=key.wrapped_by
            )
        )
        standings.increment_ring_version(tx)

    def restore(self, tx: Transaction, key_id: str, ciphertext: str, wrapped_by: str) -> None:
        """Give a key its secret again, and let every process know."""
        values = {"secret_ciphertext": ciphertext, "wrapped_by": wrapped_by}
        tx.execute(stream_keys.update().where(_column.id == key_id).values(values))
        standings.increment_ring_version(tx)

    def move(self, tx: Transaction, moves: Sequence[Transition], now: int) -> None:
        """Let keys step, in this order, and every process know; a retired one loses its secret."""
        for move in moves:
            values: dict[str, Any] = {"state": move.to}
            if move.to is KeyState.ACTIVE:
                values["activated_at"] = now
            elif move.to is KeyState.RETIRED:
                values |= {"retired_at": now, "secret_ciphertext": None, "wrapped_by": None}
            tx.execute(stream_keys.update().where(_column.id == move.key.id).values(values))
        if moves:
            standings.increment_ring_version(tx)


def under_other_keys(
    connection: Connection, wrapped_by: str, *, after: str, limit: int
) -> list[WrappedRow]:
    """Give rows that another encryption key has wrapped, in the order of their ids."""
    statement = (
        sa.select(_column.id, _column.secret_ciphertext, _column.wrapped_by)
        .where(_column.wrapped_by != wrapped_by, _column.id > after)
        .order_by(_column.id)
        .limit(limit)
    )
    return [WrappedRow(*row) for row in connection.execute(statement)]


def count_by_encryption_key(connection: Connection) -> dict[str, int]:
    """Give the number of rows that each encryption key has wrapped, by its fingerprint."""
    statement = (
        sa.select(_column.wrapped_by, sa.func.count())
        .where(_column.wrapped_by.is_not(None))
        .group_by(_column.wrapped_by)
    )
    return {row[0]: row[1] for row in connection.execute(statement)}


def rewrap(tx: Transaction, row: WrappedRow, ciphertext: str, wrapped_by: str) -> bool:
    """Put another ciphertext of the same secret in its place, unless the row has changed since."""
    unchanged = (_column.id == row.id) & (_column.secret_ciphertext == row.ciphertext)
    values = {"secret_ciphertext": ciphertext, "wrapped_by": wrapped_by}
    return tx.execute(stream_keys.update().where(unchanged).values(values)).rowcount == 1


def add_unnamed_mints(tx: Transaction, hour: int, count: int) -> None:
    """
    Count mints that named no Stream key.

    Args:
        hour: Epoch seconds at its beginning.
    """
    added = insert(tx, unnamed_mints).values(hour=hour, count=count)
    tx.execute(
        added.on_conflict_do_update(
            index_elements=["hour"], set_={"count": unnamed_mints.c.count + added.excluded.count}
        )
    )
    tx.execute(unnamed_mints.delete().where(unnamed_mints.c.hour < hour - _KEPT_HOURS * HOUR))


def unnamed_mints_since(connection: Connection, time: float) -> int:
    """
    Count mints that named no Stream key, those of the whole hour that a time lies in included.

    Args:
        time: Epoch seconds.
    """
    counts = sa.select(sa.func.coalesce(sa.func.sum(unnamed_mints.c.count), 0))
    return int(connection.scalar(counts.where(unnamed_mints.c.hour > time - HOUR)) or 0)


def _info(row: Any) -> StreamKeyInfo:
    key_id, api_key, state, *rest = row
    return StreamKeyInfo(key_id, api_key, KeyState(state), *rest)
