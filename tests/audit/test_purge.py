"""The purge of the audit trail: concurrent, and with a clock that was ahead."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from tokensvc.audit.rules import Action
from tokensvc.audit.store import record
from tokensvc.audit.tables import audit_events, audit_purge
from tokensvc.core.actions import ActionContext
from tokensvc.core.clock import system_clock
from tokensvc.database.clock import DatabaseClock


def record_old(database, number):
    """Write events whose retention has passed."""
    with database.write() as tx:
        for time in range(1000, 1000 + number):
            record(tx, ActionContext("cli:test"), Action.USER_REVOKED, "john", now=time)


def purged_before(database):
    with database.read() as connection:
        return connection.scalar(sa.select(audit_purge.c.purged_before))


@pytest.mark.sec(59)
def test_concurrent_purges_delete_each_expired_event_once(database, trail, purge):
    now = DatabaseClock(database, system_clock)()
    record_old(database, 40)
    with database.write() as tx:
        record(tx, ActionContext("cli:test"), Action.USER_REVOKED, "john", now=now)

    def purge_everything(_):
        while purge(batch=5):
            pass

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(purge_everything, range(3)))
    purged = trail.page(limit=100, filters={"action": "audit:purged"})
    assert sum(event.details["events"] for event in purged) == 40
    left = [event.time for event in trail.page(limit=100, filters={"subject": "john"})]
    assert left == [int(now)]


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_purge_waits_for_no_other_purge(database, purge):
    """All workers begin theirs at their start. SQLite has one writer at a time."""
    record_old(database, 3)
    with database.write() as tx:
        tx.execute(sa.select(audit_purge).with_for_update())
        assert purge() is False
        assert tx.scalar(sa.select(sa.func.count()).select_from(audit_events)) == 3


def test_purge_covers_no_more_than_it_deletes(database, purge):
    record_old(database, 3)
    purge()
    assert purged_before(database) == 1003


def test_time_from_a_clock_that_was_ahead_is_corrected(database, purge):
    """A replay would leave events out that are newer than the purge."""
    with database.write() as tx:
        tx.execute(audit_purge.update().values(purged_before=4_000_000_000))
    purge()
    assert purged_before(database) == pytest.approx(DatabaseClock(database, system_clock)(), abs=60)
