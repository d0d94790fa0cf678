"""Concurrent purges of the audit trail."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tokensvc.audit.rules import Action
from tokensvc.audit.store import record
from tokensvc.core.actions import ActionContext
from tokensvc.core.clock import system_clock
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.deletion import Purge


def purge_all(purge):
    while purge.step():
        pass


@pytest.mark.sec(59)
def test_concurrent_purges_delete_each_expired_event_once(database, trail, purge, monkeypatch):
    monkeypatch.setattr(Purge, "batch", 5)
    now = DatabaseClock(database, system_clock)()
    with database.write() as tx:
        for time in (*range(1000, 1040), now):
            record(tx, ActionContext("cli:test"), Action.USER_REVOKED, "john", now=time)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: purge_all(purge), range(3)))
    purged = trail.page(limit=100, filters={"action": "audit:purged"})
    assert sum(int(event.reason.partition(" ")[0]) for event in purged) == 40
    left = [event.time for event in trail.page(limit=100, filters={"subject": "john"})]
    assert left == [int(now)]
