"""The rows of service clients and of their secrets, which contain hashes only."""

import itertools
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import sqlalchemy as sa

from tokensvc.clients.rules import Rights
from tokensvc.clients.state import ClientSecret, ServiceClient
from tokensvc.clients.tables import client_ids, client_secrets, service_clients
from tokensvc.core.clock import Clock
from tokensvc.database.engine import Connection, Database, Transaction
from tokensvc.database.upsert import insert
from tokensvc.standing import ring_versions
from tokensvc.standing.clocked_read import fetch_clocked
from tokensvc.standing.rules import Ring, RingVersion


@dataclass(frozen=True, slots=True)
class HashedClient:
    """
    A client with the hashes of its secrets.

    Attributes:
        hashes: Hash of each secret, as `hash_secret` returns it.
    """

    client: ServiceClient
    hashes: Mapping[ClientSecret, str] = field(repr=False)


_clients, _secrets = service_clients.c, client_secrets.c
_joined = service_clients.outerjoin(client_secrets)
_READ = (
    _clients.id,
    _clients.name,
    _clients.scopes,
    _clients.vouches,
    _clients.created_at,
    _secrets.secret_hash,
    _secrets.id,
    _secrets.created_at,
    _secrets.expires_at,
    _secrets.last_used_at,
)
_with_secrets = sa.select(*_READ).select_from(_joined)
_in_order = (_clients.id, _secrets.created_at, _secrets.id)
_has_id = _clients.id == sa.bindparam("client_id")
_BY_ID = ring_versions.select_with_rows(Ring.SIGNING, _joined, _has_id, _READ).order_by(*_in_order)


class FoundClient(NamedTuple):
    """
    One read of a client.

    Attributes:
        client: The client; `None` if none has the ID.
        now: Epoch seconds of the database's clock.
        signing_ring_version: Version of the ring of the keys that sign access tokens.
    """

    client: HashedClient | None
    now: float
    signing_ring_version: RingVersion


def find(database: Database, clock: Clock, client_id: str) -> FoundClient:
    """
    Read a client in its current state.

    Args:
        clock: Clock of this host, used on SQLite.
    """
    rows, now = fetch_clocked(database, clock, _BY_ID, {"client_id": client_id})
    found = _first(row[2:] for row in rows if row[2] is not None)
    return FoundClient(found, now, RingVersion(*rows[0][:2]))


def page(connection: Connection, *, after: str | None, limit: int | None) -> list[ServiceClient]:
    """Return up to `limit` clients with IDs after `after`, sorted by ID."""
    ids = sa.select(_clients.id).order_by(_clients.id).limit(limit)
    if after is not None:
        ids = ids.where(_clients.id > after)
    query = _with_secrets.where(_clients.id.in_(ids)).order_by(*_in_order)
    return [found.client for found in _grouped(connection.execute(query))]


def named(tx: Transaction, name: str) -> HashedClient | None:
    """Return the client of that name."""
    query = _with_secrets.where(_clients.name == name).order_by(*_in_order)
    return _first(tx.execute(query))


def locked(tx: Transaction, client_ids: Collection[str]) -> dict[str, ServiceClient]:
    """Lock clients until the transaction ends, and return those that exist by ID."""
    if not client_ids:
        return {}
    are_wanted = _clients.id.in_(list(client_ids))
    # Every transaction locks in this order, so that none deadlock. The read is a statement of
    # its own, so that it returns what was committed during the wait.
    lock = sa.select(_clients.id).where(are_wanted).order_by(_clients.id).with_for_update()
    tx.execute(lock).all()
    query = _with_secrets.where(are_wanted).order_by(*_in_order)
    return {found.client.id: found.client for found in _grouped(tx.execute(query))}


def earliest_expiry(connection: Connection, *, after: int) -> int | None:
    """
    Return the first time at which a client has no valid secret, in epoch seconds.

    Args:
        after: Time to which earlier ones are left out.
    """
    last_end = sa.func.max(_secrets.expires_at)
    all_end = sa.func.count() == sa.func.count(_secrets.expires_at)
    ends = sa.select(last_end.label("end")).group_by(_secrets.client_id).having(all_end)
    rows = ends.having(last_end > after).subquery()
    found: int | None = connection.scalar(sa.select(sa.func.min(rows.c.end)))
    return found


def similar_name(tx: Transaction, name: str) -> str | None:
    """Return the name of a client that differs only by case, and let no other one be added."""
    if tx.dialect.name == "postgresql":
        tx.execute(sa.text("LOCK TABLE service_clients IN SHARE ROW EXCLUSIVE MODE"))
    others: Iterable[str] = tx.scalars(sa.select(_clients.name).where(_clients.name != name))
    return next((one for one in others if one.casefold() == name.casefold()), None)


def add(tx: Transaction, client: ServiceClient) -> bool:
    """
    Add a client without its secrets.

    Returns:
        Whether it was added: false if its name is taken, or if its ID was ever used.
    """
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
    return True


def add_secret(tx: Transaction, client_id: str, secret: ClientSecret, secret_hash: str) -> None:
    """Add a secret to a client."""
    row = {
        "id": secret.id,
        "client_id": client_id,
        "secret_hash": secret_hash,
        "created_at": secret.created_at,
        "expires_at": secret.expires_at,
    }
    tx.execute(client_secrets.insert(), row)


def change(tx: Transaction, client_id: str, rights: Rights) -> None:
    """Set the rights of a client."""
    changed = service_clients.update().where(_clients.id == client_id)
    tx.execute(changed.values(_columns_of(rights)))


def delete(tx: Transaction, client_id: str) -> None:
    """Delete a client and its secrets."""
    tx.execute(service_clients.delete().where(_clients.id == client_id))


def delete_secret(tx: Transaction, secret_id: str) -> None:
    """Delete a secret of a client that is locked."""
    tx.execute(client_secrets.delete().where(_secrets.id == secret_id))


def reserve_id(tx: Transaction, client_id: str) -> None:
    """Prevent that a new client gets an ID that belonged to a client."""
    tx.execute(insert(tx, client_ids).values(id=client_id).on_conflict_do_nothing())


def end_secrets(tx: Transaction, now: float, *, created_until: float) -> int:
    """
    Let the secrets of all clients expire now, and return the number of those that ended.

    Args:
        created_until: Time of the latest secret that ends, in epoch seconds.
    """
    is_unexpired = _secrets.expires_at.is_(None) | (_secrets.expires_at > int(now))
    is_old = _secrets.created_at <= int(created_until)
    ended = client_secrets.update().where(is_unexpired, is_old)
    return tx.execute(ended.values(expires_at=int(now))).rowcount


def note_uses(tx: Transaction, uses: Mapping[str, int]) -> None:
    """
    Set the last use of secrets, unless a later one is stored.

    Args:
        uses: Epoch seconds by secret ID; deleted secrets are skipped.
    """
    if not uses:
        return
    # Lock the clients before their secrets, in the order that every transaction uses: otherwise
    # this and the deletion of a client could deadlock.
    used = sa.select(_secrets.client_id).where(_secrets.id.in_(list(uses)))
    tx.execute(
        sa.select(_clients.id).where(_clients.id.in_(used)).order_by(_clients.id).with_for_update()
    )
    used_at: sa.BindParameter[int] = sa.bindparam("used_at")
    is_later = _secrets.last_used_at.is_(None) | (_secrets.last_used_at < used_at)
    tx.execute(
        client_secrets.update()
        .where(_secrets.id == sa.bindparam("secret_id"), is_later)
        .values(last_used_at=used_at),
        [{"secret_id": secret_id, "used_at": time} for secret_id, time in uses.items()],
    )


def _columns_of(rights: Rights) -> dict[str, object]:
    return {"scopes": json.dumps(sorted(rights.scopes)), "vouches": rights.vouches}


def _first(rows: Iterable[Any]) -> HashedClient | None:
    return next(iter(_grouped(rows)), None)


def _grouped(rows: Iterable[Any]) -> list[HashedClient]:
    """Return clients from sorted rows, one row for each secret."""
    groups = itertools.groupby(rows, key=lambda row: row[0])
    return [_hashed_client(list(group)) for _, group in groups]


def _hashed_client(rows: list[Any]) -> HashedClient:
    client_id, name, scopes, vouches, created_at = rows[0][:5]
    # A client without secrets has one row, whose columns of a secret are null.
    hashes = {ClientSecret(*row[6:10]): row[5] for row in rows if row[6] is not None}
    return HashedClient(
        ServiceClient(
            id=client_id,
            name=name,
            scopes=json.loads(scopes),
            vouches=bool(vouches),  # SQLite's driver returns 0 or 1
            created_at=created_at,
            secrets=list(hashes),
        ),
        hashes,
    )
