"""The actions on either database, and a running service."""

import threading

import pytest

from testing.sessions import sessions_on
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
def revocations(database, clock, sessions):
    """Return the actions on either database; SQLite uses the clock of the test."""
    return Revocations(
        database,
        DatabaseClock(database, clock),
        SOURCES,
        delivers=True,
        wait_slots=threading.Semaphore(1),
        count_sessions=sessions.count_live,
    )


@pytest.fixture
def sessions(database, clock):
    """Return the sessions that an action ends."""
    return sessions_on(database, clock)


@pytest.fixture
def standings(database, clock):
    """Return the reader that a mint uses."""
    return StandingStore(database, clock)


@pytest.fixture(scope="package")
def world(tmp_path_factory):
    """Yield the running service. Each test uses its own users."""
    with running_world(tmp_path_factory.mktemp("revocations")) as running:
        yield running
