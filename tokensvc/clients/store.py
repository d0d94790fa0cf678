"""The rows of service clients and of their secrets, of which only hashes are known here."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from tokensvc.database.engine import Database
from tokensvc.database.tables import client_secrets, service_clients


@dataclass(frozen=True, slots=True)
class StoredSecret:
    """
    One secret of a client.

    Attributes:
        created_at: Epoch seconds.
        expires_at: Epoch seconds from which on it is refused; `None`: never.
    """

    id: str
    secret_hash: str = field(repr=False)
    created_at: int
    expires_at: int | None

    def is_live(self, now: float) -> bool:
        """Tell whether it has not expired."""
        return self.expires_at is None or now < self.expires_at


@dataclass(frozen=True, slots=True)
class StoredClient:
    """A client with its secrets, oldest first."""

    id: str
    name: str
    scopes: frozenset[str]
    vouches: bool
    created_at: int
    secrets: tuple[StoredSecret, ...]


_clients, _secrets = service_clients.c, client_secrets.c
_with_secrets = sa.select(
    _clients.id,
    _clients.name,
    _clients.scopes,
    _clients.vouches,
    _clients.created_at,
    _secrets.id,
    _secrets.secret_hash,
    _secrets.created_at,
    _secrets.expires_at,
).select_from(service_clients.outerjoin(client_secrets))
_in_order = (_clients.created_at, _clients.id, _secrets.created_at, _secrets.id)


class ClientStore:
    """Reads and writes clients."""

    def __init__(self, database: Database) -> None:
        self._by_id = database.prepare(
            _with_secrets.where(_clients.id == sa.bindparam("client_id")).order_by(*_in_order)
        )

    def find(self, client_id: str) -> StoredClient | None:
        """
        Read a client as it is now.

        Raises:
            Refusal: `temporarily_unavailable`.
        """
        found = _grouped(self._by_id.fetch_all({"client_id": client_id}))
        return found[0] if found else None

    def every(self, tx: sa.Connection) -> list[StoredClient]:
        """Give all clients, oldest first."""
        return _grouped(tx.execute(_with_secrets.order_by(*_in_order)))

    def named(self, tx: sa.Connection, name: str) -> StoredClient | None:
        """Give the client of that name."""
        query = _with_secrets.where(_clients.name == name).order_by(*_in_order)
        found = _grouped(tx.execute(query))
        return found[0] if found else None

    def locked(self, tx: sa.Connection, client_id: str) -> StoredClient | None:
        """Give a client that no other transaction can change until this one ends."""
        lock = sa.select(_clients.id).where(_clients.id == client_id).with_for_update()
        if tx.execute(lock).first() is None:
            return None
        query = _with_secrets.where(_clients.id == client_id).order_by(*_in_order)
        return _grouped(tx.execute(query))[0]

    def add(self, tx: sa.Connection, client: StoredClient) -> bool:
        """Add a client with its secrets; `False`, and nothing done, if the name or id is taken."""
        row = {
            "id": client.id,
            "name": client.name,
            "scopes": json.dumps(sorted(client.scopes)),
            "vouches": client.vouches,
            "created_at": client.created_at,
        }
        try:
            with tx.begin_nested():
                tx.execute(service_clients.insert(), row)
        except sa.exc.IntegrityError:
            return False
        for secret in client.secrets:
            self.add_secret(tx, client.id, secret)
        return True

    def add_secret(self, tx: sa.Connection, client_id: str, secret: StoredSecret) -> None:
        """Add a secret to a client."""
        row = {
            "id": secret.id,
            "client_id": client_id,
            "secret_hash": secret.secret_hash,
            "created_at": secret.created_at,
            "expires_at": secret.expires_at,
        }
        tx.execute(client_secrets.insert(), row)

    def delete(self, tx: sa.Connection, client_id: str) -> bool:
        """Delete a client with its secrets; `False` if there is none."""
        gone = service_clients.delete().where(_clients.id == client_id)
        return tx.execute(gone).rowcount == 1

    def delete_secrets(self, tx: sa.Connection, client_id: str, secret_ids: Iterable[str]) -> int:
        """Delete secrets of a client; gives how many there were."""
        gone = client_secrets.delete().where(
            _secrets.client_id == client_id, _secrets.id.in_(list(secret_ids))
        )
        return tx.execute(gone).rowcount


def _grouped(rows: Iterable[Any]) -> list[StoredClient]:
    """Join the rows of each client, which come one for each secret."""
    heads: dict[str, Any] = {}
    secrets: dict[str, list[StoredSecret]] = {}
    for row in rows:
        heads.setdefault(row[0], row)
        found = secrets.setdefault(row[0], [])
        if row[5] is not None:
            found.append(StoredSecret(*row[5:9]))
    return [
        StoredClient(
            id=client_id,
            name=head[1],
            scopes=frozenset(json.loads(head[2])),
            vouches=bool(head[3]),  # SQLite's driver gives 0 or 1
            created_at=head[4],
            secrets=tuple(secrets[client_id]),
        )
        for client_id, head in heads.items()
    ]
