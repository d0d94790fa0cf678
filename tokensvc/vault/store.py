"""A column of encrypted secrets, in any table."""

from dataclasses import dataclass, field

import sqlalchemy as sa

from tokensvc.database.engine import Connection, Transaction


@dataclass(frozen=True, slots=True)
class EncryptedSecret:
    """
    One secret.

    Attributes:
        id: ID of the row.
        ciphertext: Encrypted secret.
    """

    id: str
    ciphertext: str = field(repr=False)


class EncryptedSecrets:
    """
    The secrets of one table, for their re-encryption. The store that owns the table creates this.

    Args:
        row_id: Primary key.
        ciphertext: Column with the encrypted secret.
        encrypted_with: Column with the fingerprint of the encryption key; null without a secret.

    Attributes:
        table_name: Name of the table.
    """

    def __init__(
        self,
        row_id: sa.Column[str],
        ciphertext: sa.Column[str],
        encrypted_with: sa.Column[str],
    ) -> None:
        self._table: sa.Table = row_id.table
        self._id = row_id
        self._ciphertext = ciphertext
        self._encrypted_with = encrypted_with
        self.table_name = self._table.name

    def key_fingerprints(self, connection: Connection) -> set[str]:
        """Return the fingerprints of the encryption keys of all secrets."""
        found: set[str] = set()
        # Before the first start, as in `gunicorn --check-config`, the table does not exist.
        if not sa.inspect(connection).has_table(self.table_name):
            return found
        # One step in the index for each key: DISTINCT would read every row.
        next_key = sa.select(sa.func.min(self._encrypted_with))
        last = ""
        while key := connection.scalar(next_key.where(self._encrypted_with > last)):
            found.add(key)
            last = key
        return found

    def under_other_keys(
        self, connection: Connection, encrypted_with: str, *, after: str, limit: int
    ) -> list[EncryptedSecret]:
        """Return secrets that another encryption key has encrypted, sorted by ID."""
        statement = (
            sa.select(self._id, self._ciphertext)
            .where(self._encrypted_with != encrypted_with, self._id > after)
            .order_by(self._id)
            .limit(limit)
        )
        return [EncryptedSecret(*row) for row in connection.execute(statement)]

    def count_under_other_keys(self, connection: Connection, encrypted_with: str) -> dict[str, int]:
        """Return the number of secrets by the fingerprint of their encryption key."""
        # In this form the condition uses an index: usually no row is left.
        is_other = (self._encrypted_with < encrypted_with) | (self._encrypted_with > encrypted_with)
        statement = sa.select(self._encrypted_with, sa.func.count()).where(is_other)
        rows = connection.execute(statement.group_by(self._encrypted_with))
        return {row[0]: row[1] for row in rows}

    def reencrypt(
        self, tx: Transaction, secret: EncryptedSecret, ciphertext: str, encrypted_with: str
    ) -> bool:
        """Replace a ciphertext. Return false if the row has changed since it was read."""
        unchanged = (self._id == secret.id) & (self._ciphertext == secret.ciphertext)
        values = {self._ciphertext: ciphertext, self._encrypted_with: encrypted_with}
        return tx.execute(self._table.update().where(unchanged).values(values)).rowcount == 1
