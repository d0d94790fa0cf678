"""The rows of the key ring, which contain ciphertexts only, and of unnamed mints."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from tokensvc.database.engine import Connection, Database, Transaction
from tokensvc.database.tables import stream_keys, unnamed_mints
from tokensvc.database.upsert import insert
from tokensvc.database.wrapped_secrets import WrappedSecrets
from tokensvc.keys.rules import KeyState, StreamKeyInfo, Transition
from tokensvc.standing import store as standings
from tokensvc.standing.rules import Ring, RingVersion

HOUR = 3600
"""Seconds; unnamed mints are counted by the hour."""

_KEPT_HOURS = 7 * 24


@dataclass(frozen=True, slots=True)
class StoredKey:
    """
    A key with its encrypted secret.

    Attributes:
        ciphertext: Encrypted secret.
        wrapped_by: Fingerprint of the encryption key.
    """

    info: StreamKeyInfo
    ciphertext: str = field(repr=False)
    wrapped_by: str


@dataclass(frozen=True, slots=True)
class StoredRing:
    """The keys that are not retired, newest first, and the version of the key ring."""

    version: RingVersion
    keys: tuple[StoredKey, ...]


_column = stream_keys.c
_info_columns = tuple(_column[name] for name in StreamKeyInfo.__struct_fields__)
_secret_columns = (_column.secret_ciphertext, _column.wrapped_by)
_newest_first = (_column.created_at.desc(), _column.id.desc())

STREAM_SECRETS = WrappedSecrets(_column.id, _column.secret_ciphertext, _column.wrapped_by)


class StreamKeyStore:
    """Reads and writes the ring. Every change writes a new version in the same transaction."""

    def __init__(self, database: Database) -> None:
        live = _column.state != sa.literal_column(f"'{KeyState.RETIRED}'")
        # One statement, so that keys and version belong together.
        self._read = database.prepare(
            standings.select_with_ring_version(
                Ring.STREAM, stream_keys, live, (*_secret_columns, *_info_columns)
            ).order_by(*_newest_first)
        )

    def read(self) -> StoredRing:
        """
        Read the ring in its current state.

        Raises:
            Refusal: `temporarily_unavailable`.
        """
        rows = self._read.fetch_all({})
        if not rows:
            raise standings.incomplete_database()
        # A ring without keys is one row with a version and nulls.
        keys = (_stored_key(row[2:]) for row in rows if row[2] is not None)
        return StoredRing(RingVersion(*rows[0][:2]), tuple(keys))

    def every_key(self, connection: Connection) -> list[StreamKeyInfo]:
        """Return all keys including retired ones, newest first."""
        rows = connection.execute(sa.select(*_info_columns).order_by(*_newest_first))
        return [_info(row) for row in rows]

    def page(self, connection: Connection, *, after: str | None, limit: int) -> list[StreamKeyInfo]:
        """
        Return keys, newest first.

        Args:
            after: ID of the last key of the previous page.
        """
        statement = sa.select(*_info_columns).order_by(*_newest_first).limit(limit)
        if after is not None:
            last = sa.select(_column.created_at, _column.id).where(_column.id == after)
            position = sa.tuple_(_column.created_at, _column.id)
            statement = statement.where(position < last.scalar_subquery())
        return [_info(row) for row in connection.execute(statement)]

    def ciphertext_of(self, connection: Connection, key_id: str) -> str | None:
        """Return the encrypted secret of a key; `None` if it is retired."""
        return connection.scalar(sa.select(_column.secret_ciphertext).where(_column.id == key_id))

    def add(self, tx: Transaction, key: StoredKey) -> None:
        """Add a key."""
        info = {name: getattr(key.info, name) for name in StreamKeyInfo.__struct_fields__}
        tx.execute(
            stream_keys.insert().values(
                **info, secret_ciphertext=key.ciphertext, wrapped_by=key.wrapped_by
            )
        )
        standings.change_ring_version(tx, Ring.STREAM)

    def restore(self, tx: Transaction, key_id: str, ciphertext: str, wrapped_by: str) -> None:
        """Store the secret of a key again."""
        values = {"secret_ciphertext": ciphertext, "wrapped_by": wrapped_by}
        tx.execute(stream_keys.update().where(_column.id == key_id).values(values))
        standings.change_ring_version(tx, Ring.STREAM)

    def apply(self, tx: Transaction, transitions: Sequence[Transition], now: int) -> None:
        """Apply transitions in their order. A retired key loses its secret."""
        for transition in transitions:
            values: dict[str, Any] = {"state": transition.to}
            if transition.to is KeyState.ACTIVE:
                values["activated_at"] = now
            elif transition.to is KeyState.RETIRED:
                values |= {"retired_at": now, "secret_ciphertext": None, "wrapped_by": None}
            is_key = _column.id == transition.key.id
            tx.execute(stream_keys.update().where(is_key).values(values))
        if transitions:
            standings.change_ring_version(tx, Ring.STREAM)


def add_unnamed_mints(tx: Transaction, hour: int, count: int) -> None:
    """
    Add to the count of mints that named no Stream key.

    Args:
        hour: Start of the hour, in epoch seconds.
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
    Return the number of mints that named no Stream key, from the start of the hour of `time`.

    Args:
        time: Epoch seconds.
    """
    counts = sa.select(sa.func.coalesce(sa.func.sum(unnamed_mints.c.count), 0))
    return int(connection.scalar(counts.where(unnamed_mints.c.hour > time - HOUR)) or 0)


def _info(row: Any) -> StreamKeyInfo:
    key_id, api_key, state, *rest = row
    return StreamKeyInfo(key_id, api_key, KeyState(state), *rest)


def _stored_key(row: Any) -> StoredKey:
    ciphertext, wrapped_by, *info = row
    return StoredKey(_info(info), ciphertext, wrapped_by)
