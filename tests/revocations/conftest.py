"""The actions on either database, and a running service."""

import pytest

from testing.sessions import revocations_on, sessions_on
from testing.world import running_world
from tokensvc.database.clock import DatabaseClock
from tokensvc.revocations.rules import Source
from tokensvc.standing.store import StandingStore

SOURCES = [
    Source(prefix="", by_issue_time=False),
    Source(prefix="a0-", by_issue_time=True),
]


@pytest.fixture
def revocations(database, clock):
    """Return the actions on either database; SQLite uses the clock of the test."""
    return revocations_on(database, clock, SOURCES)


@pytest.fixture
def now(database, clock):
    """Return the clock that dates actions."""
    return DatabaseClock(database, clock)


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
