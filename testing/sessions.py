"""The sessions of a database without a running service."""

from collections.abc import Sequence
from functools import partial

import sqlalchemy as sa

from tokensvc.accounts.lock_out import store as lock_outs
from tokensvc.core.actions import ActionContext, Target
from tokensvc.core.addresses import network_of
from tokensvc.core.clock import Clock
from tokensvc.core.waiting import WaitSlots
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.deletion import BATCH, purge_step
from tokensvc.database.engine import Database, Transaction
from tokensvc.revocations.rules import Source
from tokensvc.revocations.service import Revocations
from tokensvc.revocations.state import State
from tokensvc.sessions import store
from tokensvc.sessions.issued import IssuedSession
from tokensvc.sessions.rules import Origin
from tokensvc.sessions.service import Sessions
from tokensvc.sessions.settings import SessionSettings
from tokensvc.sessions.tables import sessions as sessions_table
from tokensvc.standing import ring_versions
from tokensvc.standing import store as standings
from tokensvc.standing.rules import Epochs, RevocationKind, Ring
from tokensvc.vault.hashes import KeyedHashes
from tokensvc.vault.vault import Vault

ENCRYPTION_KEY = Vault.generate_key()
VAULT = Vault([ENCRYPTION_KEY])
HASHES = KeyedHashes(ENCRYPTION_KEY)

_TIMES = ("created_at", "last_used_at", "rotated_at", "ended_at")


def sessions_on(
    database: Database,
    clock: Clock,
    settings: SessionSettings | None = None,
    vault: Vault = VAULT,
    hashes: KeyedHashes = HASHES,
    *,
    audits_refreshes: bool = True,
) -> Sessions:
    """
    Return the sessions as another process has them; SQLite uses the clock.

    Args:
        audits_refreshes: Whether the events count the rotations.
    """
    return Sessions(
        database,
        DatabaseClock(database, clock),
        vault,
        settings or SessionSettings(),
        hashes=hashes,
        renew_address=lock_outs.renew_address,
        audits_refreshes=audits_refreshes,
    )


def purge_sessions(
    database: Database,
    clock: Clock,
    settings: SessionSettings | None = None,
    *,
    batch: int = BATCH,
) -> bool:
    """Run a step of the purge as another process does; SQLite uses the clock."""
    purge = partial(store.purge, settings=settings or SessionSettings())
    return purge_step(database, DatabaseClock(database, clock), purge, batch=batch)


def revocations_on(database: Database, clock: Clock, sources: Sequence[Source] = ()) -> Revocations:
    """Return the actions that end sessions; SQLite uses the clock."""
    return Revocations(
        database,
        DatabaseClock(database, clock),
        sources,
        is_delivery_on=True,
        wait_slots=WaitSlots(1),
        count_sessions=sessions_on(database, clock).count_open,
    )


def origin_of(address: str) -> Origin:
    """Return the origin of a request from an address."""
    return Origin(HASHES.of_address(address), HASHES.of_network(network_of(address)))


def open_session(
    tx: Transaction,
    sessions: Sessions,
    user_id: str = "ada",
    client_id: str = "app",
    *,
    epochs: Epochs | None = None,
    address: str = "",
) -> IssuedSession:
    """
    Open a session as a sign-in does that has just checked a password.

    Args:
        epochs: Epochs from before the check; `None` for those now in effect.
        address: Client address.
    """
    epochs = epochs or standings.read_epochs(tx, user_id)
    now, version = sessions._clock.read(tx), ring_versions.read(tx, Ring.SIGNING)
    return sessions.open(
        tx, user_id, client_id, epochs, now=now, signing_ring_version=version, address=address
    )


def end_by_user(revocations: Revocations, target: Target, kind: RevocationKind) -> State:
    """End the sessions of a user as a change of the password or a deletion does."""
    assert target.user_id is not None
    with revocations._database.write() as tx:
        revocations.revoke_within(tx, target.user_id, kind, ActionContext(target.user_id))
    return revocations.confirm(target)


def make_older(database: Database, seconds: float) -> None:
    """Move all times of all sessions back, instead of waiting."""
    with database.write() as tx:
        columns = {name: sessions_table.c[name] - seconds for name in _TIMES}
        whole = sa.cast(columns["last_used_at"], sa.BigInteger)
        used_on = whole - whole % 86400
        tx.execute(sessions_table.update().values(columns | {"used_on": used_on}))
