"""Mints that named no Stream key: in memory until they are written."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from testing.service_clients import refusal_of
from tokensvc.core.errors import Code, Refusal
from tokensvc.database.engine import Database
from tokensvc.database.tables import unnamed_mints
from tokensvc.keys import unnamed_mints as unnamed_mints_module
from tokensvc.keys.unnamed_mints import UnnamedMints

START = 1_800_000_000


@pytest.fixture
def mints(database, clock):
    return UnnamedMints(database, clock)


def written(database):
    with database.read() as connection:
        return {row.hour: row.count for row in connection.execute(sa.select(unnamed_mints))}


def test_counts_of_workers_add_up_by_hour(database, mints, clock):
    other = UnnamedMints(database, clock)
    clock.now = START + 3599.9
    for worker, times in ((mints, 2), (other, 3)):
        for _ in range(times):
            worker.count()
    clock.now = START + 3600
    other.count()
    mints.write()
    other.write()
    assert written(database) == {START: 5, START + 3600: 1}


def test_failed_write_is_repeated_with_later_counts(database, mints, monkeypatch):
    def fail(*_):
        mints.count()
        raise Refusal(Code.TEMPORARILY_UNAVAILABLE, "gone")

    mints.count()
    with monkeypatch.context() as patched:
        patched.setattr(unnamed_mints_module, "add_unnamed_mints", fail)
        refusal_of(mints.write)
    assert written(database) == {}
    mints.write()
    assert written(database) == {START: 2}


def test_nothing_new_opens_no_transaction(mints, monkeypatch):
    mints.count()
    mints.write()
    monkeypatch.setattr(Database, "write", None)
    mints.write()


class Slow(Counter):
    """A counter that lets other threads run between reading and writing a count."""

    def __getitem__(self, hour):
        count = super().__getitem__(hour)
        time.sleep(0.001)
        return count


def test_no_count_is_lost_between_threads(database, mints):
    mints._counts = Slow()

    def count():
        for _ in range(20):
            mints.count()

    with ThreadPoolExecutor(4) as pool:
        counting = [pool.submit(count) for _ in range(4)]
        while not all(future.done() for future in counting):
            mints.write()
    mints.write()
    assert written(database) == {START: 80}
