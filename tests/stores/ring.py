"""What the tests of the ring share: rows written as the acts of rotation will write them."""

import sqlalchemy as sa

from tokensvc.database.tables import app_standing, stream_keys
from tokensvc.keys.rules import KeyState, fingerprint
from tokensvc.keys.service import StreamKeys
from tokensvc.keys.store import StoredKey, StreamKeyStore
from tokensvc.keys.vault import Vault

ENCRYPTION_KEY = Vault.generate_key()
VAULT = Vault([ENCRYPTION_KEY])
SECRET = "secret-of-the-dashboard-0123456789"
OTHER_SECRET = "regenerated-in-the-dashboard-56789"


def another_process(keys, vault=VAULT):
    """Give what a second worker has: the same database, a copy of its own."""
    return StreamKeys(keys._database, vault, keys._clock)


def rows(database):
    columns = stream_keys.c
    query = sa.select(columns.api_key, columns.fingerprint, columns.state).order_by(columns.id)
    with database.read() as connection:
        return [tuple(row) for row in connection.execute(query)]


def version(database):
    with database.read() as connection:
        return connection.scalar(sa.select(app_standing.c.stream_ring_version))


def add(database, api_key, state, secret=SECRET, *, vault=VAULT, now=1):
    """Write a key as the acts of rotation will, version and all."""
    raw = secret.encode()
    wrapped = (None, None) if state == "retired" else vault.wrap(raw)
    key = StoredKey(api_key, fingerprint(raw), KeyState(state), *wrapped)
    with database.write() as tx:
        StreamKeyStore(database).add(tx, f"key_{now}_{api_key}", key, now)


def change(database, api_key, **columns):
    """Move a key as the acts of rotation will, version and all."""
    if columns.get("state") == "retired":
        columns |= {"secret_ciphertext": None, "wrapped_by": None}
    with database.write() as tx:
        tx.execute(stream_keys.update().where(stream_keys.c.api_key == api_key), columns)
        ring_version = app_standing.c.stream_ring_version
        tx.execute(app_standing.update().values(stream_ring_version=ring_version + 1))
