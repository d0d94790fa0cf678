"""The rows of service clients and of their secrets, of which only hashes are known here."""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from tokensvc.clients.rules import Rights
from tokensvc.database.engine import Connection, Database, Transaction
from tokensvc.database.tables import client_secrets, service_clients


@dataclass(frozen=True, slots=True)
class StoredSecret:
    """
    One secret of a client.

    Attributes:
        created_at: Epoch seconds.
        expires_at: Epoch seconds from which on it is refused; `None`: never.
        last_used_at: Epoch seconds, to the minute; `None`: never yet.
    """

    id: str
    secret_hash: str = field(repr=False)
    created_at: int
    expires_at: int | None
    last_used_at: int | None = None

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

    @property
    def rights(self) -> Rights:
        """What it may do."""
        return Rights(self.scopes, self.vouches)


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
    _secrets.last_used_at,
).select_from(service_clients.outerjoin(client_secrets))
_in_order = (_clients.id, _secrets.created_at, _secrets.id)


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

    def page(
        self, connection: Connection, *, after: str | None, limit: int | None
    ) -> list[StoredClient]:
        """Give clients in the order of their ids, those behind `after`, at most `limit`."""
        ids = sa.select(_clients.id).order_by(_clients.id).limit(limit)
        if after is not None:
            ids = ids.where(_clients.id > after)
        query = _with_secrets.where(_clients.id.in_(ids)).order_by(*_in_order)
        return _grouped(connection.execute(query))

    def named(self, tx: Transaction, name: str) -> StoredClient | None:
        """Give the client of that name."""
        query = _with_secrets.where(_clients.name == name).order_by(*_in_order)
        found = _grouped(tx.execute(query))
        return found[0] if found else None

    def locked(self, tx: Transaction, client_ids: Collection[str]) -> dict[str, StoredClient]:
        """Give those clients that are there; none can be changed until this transaction ends."""
        if not client_ids:
            return {}
        are_wanted = _clients.id.in_(list(client_ids))
        # One after the other, as everybody locks them: else two could wait for each other. And
        # read in a later statement, which sees what was committed during the wait.
        lock = sa.select(_clients.id).where(are_wanted).order_by(_clients.id).with_for_update()
        tx.execute(lock).all()
        query = _with_secrets.where(are_wanted).order_by(*_in_order)
        return {client.id: client for client in _grouped(tx.execute(query))}

    def add(self, tx: Transaction, client: StoredClient) -> bool:
        """Add a client with its secrets; `False`, and nothing done, if the name or id is taken."""
        row = {
            "id": client.id,
            "name": client.name,
            **_columns_of(client.rights),
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

    def add_secret(self, tx: Transaction, client_id: str, secret: StoredSecret) -> None:
        """Add a secret to a client."""
        row = {
            "id": secret.id,
            "client_id": client_id,
            "secret_hash": secret.secret_hash,
            "created_at": secret.created_at,
            "expires_at": secret.expires_at,
        }
        tx.execute(client_secrets.insert(), row)

    def change(self, tx: Transaction, client_id: str, rights: Rights) -> None:
        """Let a client do this and nothing else."""
        changed = service_clients.update().where(_clients.id == client_id)
        tx.execute(changed.values(_columns_of(rights)))

    def delete(self, tx: Transaction, client_id: str) -> None:
        """Delete a client with its secrets."""
        tx.execute(service_clients.delete().where(_clients.id == client_id))

    def delete_secrets(self, tx: Transaction, client_id: str, secret_ids: Iterable[str]) -> None:
        """Delete secrets of a client that is locked."""
        tx.execute(
            client_secrets.delete().where(
                _secrets.client_id == client_id, _secrets.id.in_(list(secret_ids))
            )
        )


def note_uses(tx: Transaction, uses: Mapping[str, int]) -> None:
    """
    Note when secrets were last used, unless a later use is noted already.

    Args:
        uses: Epoch seconds by the secret's id; of one that is deleted nothing is noted.
    """
    if not uses:
        return
    # Before the secrets their clients, one after the other, as everybody locks them: else this
    # and the deletion of a client could each hold a row that the other waits for.
    used = sa.select(_secrets.client_id).where(_secrets.id.in_(list(uses)))
    tx.execute(
        sa.select(_clients.id).where(_clients.id.in_(used)).order_by(_clients.id).with_for_update()
    )
    used_at: sa.BindParameter[int] = sa.bindparam("used_at")
    is_news = _secrets.last_used_at.is_(None) | (_secrets.last_used_at < used_at)
    tx.execute(
        client_secrets.update()
        .where(_secrets.id == sa.bindparam("secret_id"), is_news)
        .values(last_used_at=used_at),
        [{"secret_id": each, "used_at": time} for each, time in uses.items()],
    )


def _columns_of(rights: Rights) -> dict[str, object]:
    return {"scopes": json.dumps(sorted(rights.scopes)), "vouches": rights.vouches}


def _grouped(rows: Iterable[Any]) -> list[StoredClient]:
    """Join the rows of each client, which come one for each secret."""
    heads: dict[str, Any] = {}
    secrets: dict[str, list[StoredSecret]] = {}
    for row in rows:
        heads.setdefault(row[0], row)
        found = secrets.setdefault(row[0], [])
        if row[5] is not None:
            found.append(StoredSecret(*row[5:10]))
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
