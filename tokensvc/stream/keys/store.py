"""The rows of a ring of keys, whose secrets are encrypted, and of unnamed mints."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic

import msgspec
import sqlalchemy as sa

from tokensvc.database.engine import Connection, Database, Transaction
from tokensvc.database.upsert import insert
from tokensvc.standing import ring_versions
from tokensvc.standing.rules import Ring, RingVersion, incomplete_database
from tokensvc.stream.keys.rules import StreamKeyInfo
from tokensvc.stream.keys.states import InfoT, KeyState, Transition
from tokensvc.stream.keys.tables import stream_keys, unnamed_mints
from tokensvc.vault.store import EncryptedSecrets

HOUR = 3600
"""Seconds; unnamed mints are counted by the hour."""

_KEPT_HOURS = 7 * 24

_TIMES = {
    KeyState.ACTIVE: "activated_at",
    KeyState.RETIRING: "retiring_at",
    KeyState.RETIRED: "retired_at",
}
"""Column with the time of the latest change to a state, if the table has it."""


@dataclass(frozen=True, slots=True)
class StoredKey(Generic[InfoT]):
    """
    A key with its encrypted secret.

    Attributes:
        ciphertext: Encrypted secret.
        encrypted_with: Fingerprint of the encryption key.
    """

    info: InfoT
    ciphertext: str = field(repr=False)
    encrypted_with: str


@dataclass(frozen=True, slots=True)
class StoredRing(Generic[InfoT]):
    """The keys that are not retired, newest first, and the version of the key ring."""

    version: RingVersion
    keys: tuple[StoredKey[InfoT], ...]


def secrets_of(table: sa.Table) -> EncryptedSecrets:
    """Return the secrets of the table of a ring."""
    return EncryptedSecrets(table.c.id, table.c.secret_ciphertext, table.c.encrypted_with)


STREAM_SECRETS = secrets_of(stream_keys)


class RingStore(Generic[InfoT]):
    """
    Reads and writes a ring. Every change writes a new version in the same transaction.

    Args:
        table: Table of the ring.
        info_type: Struct with the columns that are not secret.
    """

    def __init__(self, ring: Ring, table: sa.Table, info_type: type[InfoT]) -> None:
        self._ring = ring
        self._table = table
        self._info_type = info_type
        self._columns = [table.c[name] for name in info_type.__struct_fields__]
        self._newest_first = (table.c.created_at.desc(), table.c.id.desc())
        unretired = table.c.state != sa.literal_column(f"'{KeyState.RETIRED}'")
        columns = (table.c.secret_ciphertext, table.c.encrypted_with, *self._columns)
        # One statement, so that keys and version belong together.
        with_rows = ring_versions.select_with_rows(ring, table, unretired, columns)
        self._read = with_rows.order_by(*self._newest_first)

    def read(self, database: Database) -> StoredRing[InfoT]:
        """Read the ring in its current state."""
        rows = database.fetch(self._read)
        if not rows:
            raise incomplete_database()
        # A ring without keys is one row with a version and nulls.
        keys = (
            StoredKey(self._info(info), ciphertext, encrypted_with)
            for _, _, ciphertext, encrypted_with, *info in rows
            if ciphertext is not None
        )
        return StoredRing(RingVersion(*rows[0][:2]), tuple(keys))

    def every_key(self, connection: Connection) -> list[InfoT]:
        """Return all keys including retired ones, newest first."""
        rows = connection.execute(sa.select(*self._columns).order_by(*self._newest_first))
        return [self._info(row) for row in rows]

    def page(self, connection: Connection, *, after: str | None, limit: int) -> list[InfoT]:
        """
        Return keys, newest first.

        Args:
            after: ID of the last key of the previous page.
        """
        statement = sa.select(*self._columns).order_by(*self._newest_first).limit(limit)
        if after is not None:
            position = sa.tuple_(self._table.c.created_at, self._table.c.id)
            last = sa.select(*position.clauses).where(self._table.c.id == after)
            statement = statement.where(position < last.scalar_subquery())
        return [self._info(row) for row in connection.execute(statement)]

    def ciphertext_of(self, connection: Connection, key_id: str) -> str | None:
        """Return the encrypted secret of a key; `None` if it is retired."""
        ciphertext = sa.select(self._table.c.secret_ciphertext)
        return connection.scalar(ciphertext.where(self._table.c.id == key_id))

    def add(self, tx: Transaction, key: StoredKey[InfoT]) -> None:
        """Add a key."""
        secret = {"secret_ciphertext": key.ciphertext, "encrypted_with": key.encrypted_with}
        tx.execute(self._table.insert().values(**msgspec.structs.asdict(key.info), **secret))
        ring_versions.change(tx, self._ring)

    def restore(self, tx: Transaction, key_id: str, ciphertext: str, encrypted_with: str) -> None:
        """Store the secret of a key again."""
        values = {"secret_ciphertext": ciphertext, "encrypted_with": encrypted_with}
        tx.execute(self._table.update().where(self._table.c.id == key_id).values(values))
        ring_versions.change(tx, self._ring)

    def apply(self, tx: Transaction, transitions: Sequence[Transition[InfoT]], now: int) -> None:
        """Apply transitions in their order. A retired key loses its secret."""
        for transition in transitions:
            values: dict[str, Any] = {"state": transition.to}
            changed_at = _TIMES.get(transition.to)
            if changed_at in self._info_type.__struct_fields__:
                values[changed_at] = now
            if transition.to is KeyState.RETIRED:
                values |= {"secret_ciphertext": None, "encrypted_with": None}
            is_key = self._table.c.id == transition.key.id
            tx.execute(self._table.update().where(is_key).values(values))
        if transitions:
            ring_versions.change(tx, self._ring)

    def _info(self, row: Iterable[Any]) -> InfoT:
        values = dict(zip(self._info_type.__struct_fields__, row, strict=True))
        return self._info_type(**values | {"state": KeyState(values["state"])})


STREAM_KEYS: Final = RingStore(Ring.STREAM, stream_keys, StreamKeyInfo)
"""The ring of Stream keys."""


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
