"""What all purges promise: old rows only, the oldest first, in batches, without a wait."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import pytest
import sqlalchemy as sa

from testing.manual_clock import ManualClock
from testing.purging import purge_all
from testing.query_plans import reads_all_rows, recorded_plans
from tokensvc.accounts import store as accounts
from tokensvc.accounts.lock_out.rules import FORGET_SECONDS, KNOWN_ADDRESS_SECONDS
from tokensvc.accounts.lock_out.tables import known_addresses, sign_in_failures
from tokensvc.accounts.tables import account_codes
from tokensvc.audit import store as audit
from tokensvc.audit.tables import audit_events
from tokensvc.core.clock import start_of_day
from tokensvc.database.deletion import Purge, purge_step
from tokensvc.revocations import store as revocation_store
from tokensvc.revocations.tables import revocations
from tokensvc.sessions import store as session_store
from tokensvc.sessions.settings import SessionSettings
from tokensvc.sessions.tables import sessions
from tokensvc.stream.delivery.rules import OBSOLETE_AFTER
from tokensvc.stream.delivery.tables import deliveries

CLOCK = ManualClock()
NOW = int(CLOCK.now)
DAY = 86400
RETENTION = 30 * DAY
SETTINGS = SessionSettings()


@dataclass(frozen=True)
class Kind:
    """
    A kind of rows that a purge deletes.

    Attributes:
        time: Column by whose value rows become old.
        last_old: Latest time of a row that is deleted.
        index: Index that finds the rows.
        members: Values of the other columns, but for one of the key.
        also: Values with which an old row is deleted too.
        never: Values with which a row is never deleted, however old.
    """

    table: sa.Table
    purge: Purge
    time: str
    last_old: int
    index: str
    members: Mapping[str, object]
    also: tuple[Mapping[str, object], ...] = ()
    never: tuple[Mapping[str, object], ...] = ()
    key: str = field(init=False)

    def __post_init__(self):
        key = next(c.name for c in self.table.primary_key if c.name not in self.members)
        object.__setattr__(self, "key", key)

    def row(self, name, time, **changed):
        return {self.key: name, self.time: time, **self.members, **changed}

    def insert(self, database, rows):
        with database.write() as tx:
            # One statement a row: the rows do not have the same columns.
            for row in rows:
                tx.execute(self.table.insert(), row)

    def left(self, database):
        """Return the keys of the rows that are left, but for the events of the purge."""
        column = self.table.c[self.key]
        query = sa.select(column).where(column.not_like("evt%")).order_by(column)
        with database.read() as connection:
            return list(connection.scalars(query))


EVENTS = Kind(
    audit_events,
    partial(audit.purge, retention=RETENTION),
    "time",
    NOW - RETENTION - 1,
    "audit_events_by_time",
    {"actor": "svc.backend", "action": "user:revoked", "subject": "ada", "outcome": "ok"},
)
REVOCATIONS = Kind(
    revocations,
    partial(revocation_store.purge, retention=RETENTION),
    "undone_at",
    NOW - RETENTION - 1,
    "revocations_undone",
    {"kind": "revocation", "tokens_valid_after": 1, "created_at": 1, "actor": "svc.backend"},
    never=({"undone_at": None},),
)
DELIVERIES = Kind(
    deliveries,
    partial(revocation_store.purge, retention=RETENTION),
    "updated_at",
    NOW - RETENTION - 1,
    "deliveries_finished",
    {"kind": "user", "version": 1, "state": "applied", "due_at": 1},
    also=({"state": "obsolete"},),
    never=({"state": "pending"}, {"state": "failed"}, {"state": "absent"}),
)
# Stream may lose a cut-off and must get it again while a token from before can be valid.
DELIVERIES_OF_VALID_TOKENS = Kind(
    deliveries,
    partial(revocation_store.purge, retention=DAY),
    "updated_at",
    NOW - OBSOLETE_AFTER - 1,
    "deliveries_finished",
    DELIVERIES.members,
    also=DELIVERIES.also,
)
_SESSION = {
    "user_id": "ada",
    "client_id": "app",
    "user_epoch": 0,
    "app_epoch": 0,
    "created_at": 1,
    "last_used_at": 1,
    "family_key_ciphertext": "",
    "encrypted_with": "",
}
ENDED_SESSIONS = Kind(
    sessions,
    partial(session_store.purge, settings=SETTINGS),
    "ended_at",
    NOW,
    "sessions_ended",
    _SESSION | {"used_on": start_of_day(NOW)},
    never=({"ended_at": None},),
)
IDLE_SESSIONS = Kind(
    sessions,
    partial(session_store.purge, settings=SETTINGS),
    "used_on",
    start_of_day(NOW - SETTINGS.idle_ttl) - 1,
    "sessions_by_day_of_use",
    _SESSION,
)
CODES = Kind(
    account_codes,
    accounts.purge,
    "expires_at",
    NOW,
    "account_codes_by_expiry",
    {"kind": "invitation", "created_at": 0},
    also=({"used_at": 1}, {"kind": "reset", "user_id": "ada"}),
)
FAILURES = Kind(
    sign_in_failures,
    accounts.purge,
    "last_failed_at",
    NOW - FORGET_SECONDS - 1,
    "sign_in_failures_without_account",
    {"kind": "unknown", "failures": 60},
    also=({"kind": "known"},),
    never=({"of_account": True},),
)
ADDRESSES = Kind(
    known_addresses,
    accounts.purge,
    "last_signed_in_at",
    NOW - KNOWN_ADDRESS_SECONDS - 1,
    "known_addresses_by_time",
    {"user_id": "ada"},
)
KINDS = {
    "events": (EVENTS, 59),
    "revocations": (REVOCATIONS, 66),
    "deliveries": (DELIVERIES, 66),
    "deliveries_of_valid_tokens": (DELIVERIES_OF_VALID_TOKENS, 66),
    "ended_sessions": (ENDED_SESSIONS, None),
    "idle_sessions": (IDLE_SESSIONS, None),
    "codes": (CODES, None),
    "failures": (FAILURES, 42),
    "addresses": (ADDRESSES, None),
}
of_each_kind = pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, id=name, marks=[pytest.mark.sec(number)] if number else [])
        for name, (kind, number) in KINDS.items()
    ],
)


@of_each_kind
def test_purge_deletes_old_rows_only(database, kind):
    old = [kind.row("old", kind.last_old)]
    old += [kind.row(f"old {n}", kind.last_old, **values) for n, values in enumerate(kind.also)]
    kept = [kind.row(f"kept {n}", 1, **values) for n, values in enumerate(kind.never)]
    if kind is not ENDED_SESSIONS:
        kept.append(kind.row("kept", kind.last_old + 1))
    kind.insert(database, old + kept)
    purge_all(database, CLOCK, kind.purge)
    assert kind.left(database) == sorted(row[kind.key] for row in kept)


@of_each_kind
def test_purge_deletes_the_oldest_rows_first_in_batches(database, kind):
    kind.insert(database, [kind.row(f"row {n}", n) for n in (3, 1, 5, 2, 4)])
    left = []
    while purge_step(database, CLOCK, kind.purge, batch=2):
        left.append(kind.left(database))
    assert left == [["row 3", "row 4", "row 5"], ["row 5"]]
    assert kind.left(database) == []


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
@of_each_kind
def test_purge_does_not_wait_for_a_locked_row(database, kind):
    """It is left for the next purge. On SQLite there is one writer at a time."""
    kind.insert(database, [kind.row(f"row {n}", n) for n in (1, 2)])
    is_first = kind.table.c[kind.key] == "row 1"
    with database.write() as tx:
        tx.execute(sa.select(kind.table).where(is_first).with_for_update())
        purge_all(database, CLOCK, kind.purge)
        assert kind.left(database) == ["row 1"]
    purge_all(database, CLOCK, kind.purge)
    assert kind.left(database) == []


@of_each_kind
def test_purge_uses_an_index(database, kind):
    """It reads the rows to delete, and no others."""
    with database.write() as tx:
        tx.execute(kind.table.insert(), [kind.row(f"row {n}", n + 1) for n in range(2_000)])
        if database.dialect == "postgresql":
            tx.exec_driver_sql(f"ANALYZE {kind.table.name}")
    with recorded_plans(database) as plans:
        assert purge_step(database, CLOCK, kind.purge, batch=2)
    of_table = [plan for plan in plans if kind.table.name in plan]
    assert [plan for plan in of_table if kind.index in plan]
    assert not [plan for plan in of_table if reads_all_rows(plan)]
