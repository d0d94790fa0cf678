"""Mints that named no Stream key: in memory until they are written."""

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from tokensvc.stream.keys.service import count_mint, pending_counts
from tokensvc.stream.keys.tables import unnamed_mints

START = 1_800_000_000


@pytest.fixture
def mints(database, clock):
    return counts_of(database, clock)


def counts_of(database, clock):
    """Return the counts of a worker."""
    counts = pending_counts(database)
    return SimpleNamespace(
        count=partial(count_mint, counts, clock), write=counts.write, pending=counts
    )


def written(database):
    with database.read() as connection:
        return {row.hour: row.count for row in connection.execute(sa.select(unnamed_mints))}


def test_counts_of_workers_add_up_by_hour(database, mints, clock):
    other = counts_of(database, clock)
    clock.now = START + 3599.9
    for worker, times in ((mints, 2), (other, 3)):
        for _ in range(times):
            worker.count()
    clock.now = START + 3600
    other.count()
    mints.write()
    other.write()
    assert written(database) == {START: 5, START + 3600: 1}


def add_slowly(one, other):
    """Let other threads run between the read and the write of a count."""
    time.sleep(0.001)
    return one + other


def test_no_count_is_lost_between_threads(database, mints):
    mints.pending._combine = add_slowly

    def count():
        for _ in range(20):
            mints.count()

    with ThreadPoolExecutor(4) as pool:
        counting = [pool.submit(count) for _ in range(4)]
        while not all(future.done() for future in counting):
            mints.write()
    mints.write()
    assert written(database) == {START: 80}
