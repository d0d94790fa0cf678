"""The audit trail on either database."""

from functools import partial

import pytest

from tokensvc.audit import store
from tokensvc.audit.service import AuditTrail
from tokensvc.core.clock import system_clock
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.deletion import purge_step

RETENTION = 86400


@pytest.fixture
def trail(database):
    """Return the trail."""
    return AuditTrail(database, DatabaseClock(database, system_clock))


@pytest.fixture
def purge(database):
    """Return the steps of the purge of the trail, with a retention of one day."""
    clock = DatabaseClock(database, system_clock)
    return partial(purge_step, database, clock, partial(store.purge, retention=RETENTION))
