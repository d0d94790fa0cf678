"""The audit trail on either database."""

import pytest

from tokensvc.audit.service import AuditTrail
from tokensvc.core.clock import system_clock
from tokensvc.database.clock import DatabaseClock

RETENTION = 86400


@pytest.fixture
def trail(database):
    """Return the trail, with a retention of one day."""
    return AuditTrail(database, DatabaseClock(database, system_clock), RETENTION)
