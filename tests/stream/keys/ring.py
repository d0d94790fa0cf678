"""Rows of the ring of Stream keys for tests, written as the actions of rotation write them."""

import json

import sqlalchemy as sa

from tokensvc.audit.tables import audit_events
from tokensvc.core.actions import ActionContext
from tokensvc.core.waiting import WaitSlots
from tokensvc.database.clock import DatabaseClock
from tokensvc.standing import ring_versions
from tokensvc.standing.rules import Ring
from tokensvc.stream.keys.rotation import StreamKeyRotation
from tokensvc.stream.keys.rules import StreamKeyInfo
from tokensvc.stream.keys.service import StreamKeys
from tokensvc.stream.keys.states import KeyState
from tokensvc.stream.keys.store import STREAM_KEYS, StoredKey
from tokensvc.stream.keys.tables import stream_keys
from tokensvc.vault.rules import fingerprint
from tokensvc.vault.vault import Vault

ENCRYPTION_KEY = Vault.generate_key()
VAULT = Vault([ENCRYPTION_KEY])
SECRET = "secret-of-the-dashboard-0123456789"
OTHER_SECRET = "regenerated-in-the-dashboard-56789"
CONTEXT = ActionContext("svc.ops", "yearly")
DRY_RUN = ActionContext("svc.ops", "yearly", dry_run=True)


def another_process(database, vault=VAULT):
    """Return the ring of a second process on the same database."""
    return StreamKeys(database, vault)


def rotation_of(database, clock, vault=VAULT, check=None):
    """Return the actions; without `check` no key can be checked."""
    clock = DatabaseClock(database, clock)
    return StreamKeyRotation(database, clock, vault, check, wait_slots=WaitSlots(1))


def events(database):
    """Return (actor, action, reason, details) of all events, oldest first."""
    columns = audit_events.c
    query = sa.select(columns.actor, columns.action, columns.reason, columns.details)
    with database.read() as connection:
        found = connection.execute(query.order_by(columns.id)).all()
    return [(*row[:-1], json.loads(row.details or "null")) for row in found]


def rows(database):
    """Return (API key, fingerprint, state) of all keys, oldest first."""
    columns = stream_keys.c
    query = sa.select(columns.api_key, columns.fingerprint, columns.state).order_by(
        columns.created_at, columns.id
    )
    with database.read() as connection:
        return [tuple(row) for row in connection.execute(query)]


def version(database):
    """Return the version of the ring."""
    with database.read() as connection:
        return ring_versions.read(connection, Ring.STREAM)


def changes(database):
    """Return the number of changes of the ring."""
    return version(database).counter


def current(keys):
    """Return the ring as a request finds it after its read of the standing."""
    return keys.ring_at(version(keys._database))


def add(database, api_key, state, secret=SECRET, *, vault=VAULT, now=1):
    """Add a key with a new version as an action does, and return its ID."""
    raw = secret.encode()
    encrypted = (None, None) if state == "retired" else vault.encrypt(raw)
    key_id = f"key_{now}_{api_key}"
    info = StreamKeyInfo(
        id=key_id,
        api_key=api_key,
        state=KeyState(state),
        fingerprint=fingerprint(raw),
        created_at=now,
        activated_at=now if state == "active" else None,
        retired_at=now if state == "retired" else None,
    )
    with database.write() as tx:
        ring_versions.lock(tx)
        STREAM_KEYS.add(tx, StoredKey(info, *encrypted))
    return key_id


def change(database, api_key, **columns):
    """Change a key with a new version as an action does."""
    if columns.get("state") == "retired":
        columns |= {"secret_ciphertext": None, "encrypted_with": None}
    with database.write() as tx:
        ring_versions.lock(tx)
        tx.execute(stream_keys.update().where(stream_keys.c.api_key == api_key), columns)
        ring_versions.change(tx, Ring.STREAM)
