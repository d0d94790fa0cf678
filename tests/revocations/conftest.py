"""The actions on either database, and a running service."""

import threading

import pytest

from testing.world import running_world
from tokensvc.database.clock import DatabaseClock
from tokensvc.revocations.rules import Source
from tokensvc.revocations.service import Revocations
from tokensvc.standing.store import StandingStore

SOURCES = [
    Source(prefix="", by_issue_time=False),
    Source(prefix="a0-", by_issue_time=True),
]


@pytest.fixture
def revocations(database, clock):
    """Return the actions on either database; SQLite uses the clock of the test."""
    return Revocations(
        database,
        DatabaseClock(database, clock),
        SOURCES,
        delivers=True,
        wait_slots=threading.Semaphore(1),
    )


@pytest.fixture
def standings(database, clock):
    """Return the reader that a mint uses."""
    return StandingStore(database, clock)


@pytest.fixture(scope="package")
def world(tmp_path_factory):
    """Yield the running service. Each test uses its own users."""
    with running_world(tmp_path_factory.mktemp("revocations")) as running:
        yield running
