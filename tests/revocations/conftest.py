"""The acts on either database, and on a running service."""

import threading

import pytest

from tests.revocations.live import running_world
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
    """Give the acts on either database; on SQLite the clock is the test's."""
    return Revocations(
        database,
        DatabaseClock(database, clock),
        SOURCES,
        delivers=True,
        wait_slots=threading.Semaphore(1),
    )


@pytest.fixture
def standings(database, clock):
    """Give what a mint reads."""
    return StandingStore(database, clock)


@pytest.fixture(scope="package")
def world(tmp_path_factory):
    """Give the running service; each test has users of its own."""
    with running_world(tmp_path_factory.mktemp("revocations")) as running:
        yield running
