"""Reads that keep the lead of their worker while they are short."""

import pytest
import sqlalchemy as sa

from tokensvc.core import waiting
from tokensvc.core.errors import Refusal
from tokensvc.database import statements
from tokensvc.database.read_times import LONG_READS, PAUSE_SECONDS, SHORT_SECONDS
from tokensvc.standing.tables import app_standing

FLOOR = sa.select(app_standing.c.floor)
RAISE = app_standing.update().values(floor=app_standing.c.floor + 1).returning(sa.text("1"))
SHORT = SHORT_SECONDS / 5


class Reads:
    """
    Reads of a database whose time a test sets, at least a read's own on a manual clock.

    Attributes:
        announced: Number of waits that were announced, by which a worker gets another leader.
    """

    def __init__(self, database, clock):
        self._statements = database._statements
        self._clock = clock
        self.announced = 0

    def announce(self):
        self.announced += 1

    def kept(self, seconds, count=1, error=None):
        """Read so often, each for a time, and return how many reads kept the lead."""
        before = self.announced

        def use(connection):
            self._clock.now += seconds
            if error is not None:
                raise error
            return connection.fetch(FLOOR, {})

        for _ in range(count):
            if error is None:
                assert self._statements.run(use, writes=False) == [(0,)]
            else:
                with pytest.raises(type(error)):
                    self._statements.run(use, writes=False)
        return count - (self.announced - before)


@pytest.fixture
def reads(database, clock, monkeypatch):
    monkeypatch.setattr(statements, "monotonic", clock)
    database.fetch(FLOOR)  # opens the connection
    reads = Reads(database, clock)
    waiting.set_hook(reads.announce)
    yield reads
    waiting.set_hook(lambda: None)


on_postgresql = pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)


@on_postgresql
def test_short_reads_keep_the_lead(reads):
    assert reads.kept(SHORT, count=50) == 50


@on_postgresql
@pytest.mark.parametrize("seconds", [0.001, 0.01, 0.1])
def test_reads_that_all_take_longer_give_up_the_lead(reads, clock, seconds):
    """From then on, a few keep it four times a second, to be measured, until one is short again."""
    assert reads.kept(SHORT, count=50) == 50
    for _ in range(3):
        assert reads.kept(seconds, count=LONG_READS) == LONG_READS
        assert reads.kept(seconds, count=int(PAUSE_SECONDS / seconds)) == 0
        clock.now += PAUSE_SECONDS
    assert reads.kept(SHORT, count=50) == 50


@on_postgresql
@pytest.mark.parametrize("count", [1, LONG_READS - 1])
def test_one_short_read_among_long_ones_keeps_the_lead(reads, count):
    """A long read can be a thread that waited for a processor; a short one is the server's own."""
    for _ in range(20):
        assert reads.kept(0.1, count=count) == count
        assert reads.kept(SHORT) == 1


@on_postgresql
def test_hung_server_gives_up_the_lead(reads):
    """After some reads that end without a response."""
    hung = Refusal("temporarily_unavailable", "hung")
    for _ in range(LONG_READS):
        assert reads.kept(3.5, error=hung) == 1
        assert reads.kept(SHORT) == 0  # a new connection
    assert reads.kept(SHORT, count=10) == 0


@on_postgresql
def test_changes_give_up_the_lead(database, reads):
    """They wait for the disk and for locks."""
    reads.kept(SHORT)
    for number in range(1, 4):
        assert database.change(RAISE, {}) == [(1,)]
        assert reads.announced == number


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_read_of_a_file_announces_nothing(reads):
    assert reads.kept(0.1, count=10) == 10
