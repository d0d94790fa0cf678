"""The last valid key set of each issuer, for a restart during an outage."""

import json
from dataclasses import dataclass

import sqlalchemy as sa

from tokensvc.database.engine import Database
from tokensvc.database.upsert import insert
from tokensvc.issuers.tables import issuer_keys

_columns = issuer_keys.c


@dataclass(frozen=True, slots=True)
class StoredKeys:
    """
    A fetched key set.

    Attributes:
        source: URL of the fetch. After a change of the setting, keys of the previous URL must not
            be used.
        document: Body of the response.
        fetched_at: Epoch seconds.
    """

    source: str
    document: str
    fetched_at: int


class IssuerKeyStore:
    """Reads and writes key sets, one row for each `iss`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self, issuer: str) -> StoredKeys | None:
        """Return the last valid set of an issuer."""
        query = sa.select(_columns.jwks, _columns.fetched_at).where(_columns.issuer == issuer)
        with self._database.read() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        stored = json.loads(row.jwks)
        return StoredKeys(stored["source"], stored["document"], row.fetched_at)

    def save(self, issuer: str, keys: StoredKeys) -> None:
        """Store a set, unless another worker has stored a later one."""
        row = {
            "issuer": issuer,
            "jwks": json.dumps({"source": keys.source, "document": keys.document}),
            "fetched_at": keys.fetched_at,
        }
        with self._database.write() as tx:
            added = insert(tx, issuer_keys).values(row)
            later = added.excluded
            tx.execute(
                added.on_conflict_do_update(
                    index_elements=[_columns.issuer],
                    set_={"jwks": later.jwks, "fetched_at": later.fetched_at},
                    where=_columns.fetched_at <= later.fetched_at,
                )
            )
