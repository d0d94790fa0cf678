"""The rows of the ring of Stream keys. Knows ciphertexts, never secrets."""

from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from tokensvc.database.engine import Database
from tokensvc.database.tables import app_standing, stream_keys
from tokensvc.keys.rules import KeyState


@dataclass(frozen=True, slots=True)
class StoredKey:
    """
    A key as it lies in the database.

    Attributes:
        api_key: Public.
        fingerprint: Of the secret; with `api_key` it names the pair.
        secret_ciphertext: `None` once retired.
        wrapped_by: The fingerprint of the encryption key; `None` once retired.
    """

    api_key: str
    fingerprint: str
    state: KeyState
    secret_ciphertext: str | None = field(repr=False)
    wrapped_by: str | None

    @property
    def pair(self) -> tuple[str, str]:
        """What a key is known by."""
        return self.api_key, self.fingerprint


@dataclass(frozen=True, slots=True)
class StoredRing:
    """The keys that are not retired, newest first, and the version that they were read at."""

    version: int
    keys: tuple[StoredKey, ...]


_columns = (
    stream_keys.c.api_key,
    stream_keys.c.fingerprint,
    stream_keys.c.state,
    stream_keys.c.secret_ciphertext,
    stream_keys.c.wrapped_by,
)
_newest_first = (stream_keys.c.created_at.desc(), stream_keys.c.id.desc())


class StreamKeyStore:
    """Reads and writes the ring. Every change bumps its version in the same transaction."""

    def __init__(self, database: Database) -> None:
        live = stream_keys.c.state != sa.literal_column(f"'{KeyState.RETIRED}'")
        # One statement, so that the keys are those of the version.
        self._read = database.prepare(
            sa.select(app_standing.c.stream_ring_version, *_columns)
            .select_from(app_standing.outerjoin(stream_keys, live))
            .order_by(*_newest_first)
        )

    def read(self) -> StoredRing:
        """
        Read the ring as it is now.

        Raises:
            Refusal: `temporarily_unavailable`.
        """
        rows = self._read.fetch_all({})
        keys = (_stored(row[1:]) for row in rows if row[1] is not None)
        return StoredRing(version=rows[0][0] if rows else 0, keys=tuple(keys))

    def lock(self, tx: sa.Connection) -> None:
        """Let no other transaction change the ring; what is read from here on stays true."""
        tx.execute(sa.select(app_standing.c.id).with_for_update())

    def every_key(self, tx: sa.Connection) -> list[StoredKey]:
        """Give all keys, the retired ones too, newest first."""
        return [_stored(row) for row in tx.execute(sa.select(*_columns).order_by(*_newest_first))]

    def add(self, tx: sa.Connection, key_id: str, key: StoredKey, now: int) -> None:
        """Add a key, and let every process know."""
        tx.execute(
            stream_keys.insert().values(
                id=key_id,
                api_key=key.api_key,
                fingerprint=key.fingerprint,
                state=key.state,
                secret_ciphertext=key.secret_ciphertext,
                wrapped_by=key.wrapped_by,
                created_at=now,
                activated_at=now if key.state is KeyState.ACTIVE else None,
            )
        )
        version = app_standing.c.stream_ring_version
        tx.execute(app_standing.update().values(stream_ring_version=version + 1))


def _stored(row: Any) -> StoredKey:
    api_key, fingerprint, state, ciphertext, wrapped_by = row
    return StoredKey(api_key, fingerprint, KeyState(state), ciphertext, wrapped_by)
