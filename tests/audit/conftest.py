"""The audit trail on either database."""

import pytest

from tokensvc.audit.purge import AuditPurge
from tokensvc.audit.service import AuditTrail
from tokensvc.core.clock import system_clock
from tokensvc.database.clock import DatabaseClock

RETENTION = 86400


@pytest.fixture
def trail(database):
    """Return the trail."""
    return AuditTrail(database, DatabaseClock(database, system_clock))


@pytest.fixture
def purge(database):
    """Return the purge of the trail, with a retention of one day."""
    return AuditPurge(database, DatabaseClock(database, system_clock), RETENTION)
