"""The one read of the standing, on both databases."""

import re
import threading
import time
from pathlib import Path

import pytest

import tokensvc
from testing.query_plans import plan_of
from tokensvc.core.errors import Code, Refusal
from tokensvc.standing.store import StandingStore
from tokensvc.standing.tables import app_standing, user_standings

APP = {"tokens_valid_after": None, "floor": 0, "stream_ring_version": 0}


def set_app(tx, **columns):
    tx.execute(app_standing.update(), columns)


def set_user(tx, user_id, **columns):
    tx.execute(user_standings.delete().where(user_standings.c.user_id == user_id))
    tx.execute(user_standings.insert(), {"user_id": user_id, **columns})


@pytest.fixture
def standings(database, clock):
    return StandingStore(database, clock)


def test_user_without_a_row_has_a_clean_standing(standings):
    standing = standings.read("never-seen")
    assert not standing.suspended
    assert standing.tokens_valid_after is None
    assert standing.floor == 0
    assert standing.ring_version.counter == 0


@pytest.mark.parametrize(
    "app, user, expected",
    [
        ({}, {"tokens_valid_after": 7, "floor": 7}, (7, 7, False)),
        ({"tokens_valid_after": 9, "floor": 9}, None, (9, 9, False)),
        (
            {"tokens_valid_after": 9, "floor": 9},
            {"tokens_valid_after": 7, "floor": 8},
            (9, 9, False),
        ),
        (
            {"tokens_valid_after": 5, "floor": 6},
            {"tokens_valid_after": 7, "floor": 8},
            (7, 8, False),
        ),
        ({"floor": 9}, {"tokens_valid_after": 7, "floor": 8}, (7, 9, False)),
        ({"tokens_valid_after": 5, "floor": 5}, {"floor": 8}, (5, 8, False)),
        ({"floor": 6}, {"floor": 5}, (None, 6, False)),
        ({}, {"suspended_at": 0}, (None, 0, True)),
        ({}, {"tokens_valid_after": 7, "floor": 7, "suspended_at": 6}, (7, 7, True)),
        ({"tokens_valid_after": 0}, {}, (0, 0, False)),
        ({"tokens_valid_after": 2**40, "floor": 2**40}, None, (2**40, 2**40, False)),
    ],
)
def test_stricter_values_of_user_and_app_apply(database, standings, app, user, expected):
    """Only the user's own row can suspend the user."""
    with database.write() as tx:
        set_app(tx, **{**APP, **app})
        if user is not None:
            set_user(tx, "ada", **user)
        set_user(tx, "bob", tokens_valid_after=99, floor=99, suspended_at=1)
    standing = standings.read("ada")
    assert (standing.tokens_valid_after, standing.floor, standing.suspended) == expected


def test_next_read_sees_each_commit(database, standings):
    for second in range(1, 30):
        with database.write() as tx:
            set_user(tx, "ada", tokens_valid_after=second, floor=second)
            set_app(tx, stream_ring_version=second)
        standing = standings.read("ada")
        assert (standing.tokens_valid_after, standing.ring_version.counter) == (second, second)


def test_read_never_mixes_two_transactions(database, standings):
    stop = threading.Event()

    def write():
        for number in range(1, 400):
            with database.write() as tx:
                set_user(tx, "ada", floor=number)
                set_app(tx, floor=number - 1, stream_ring_version=number)
        stop.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    while not stop.is_set():
        standing = standings.read("ada")
        seen.add(standing.ring_version.counter)
        assert standing.floor == standing.ring_version.counter
    writer.join()
    assert len(seen) > 1


def test_clock_is_read_before_the_standing(database):
    """
    The statement finds a cut-off that was set after the clock was read.

    In the other order, a token could be minted above a cut-off that the read missed.
    """

    def clock():
        with database.write() as tx:
            set_user(tx, "ada", tokens_valid_after=1_001, floor=1_001)
        return 1_000.9

    standing = StandingStore(database, clock).read("ada")
    assert standing.tokens_valid_after == 1_001
    if database.dialect == "sqlite":
        assert standing.now == 1_000


def test_now_is_read_from_the_clock_of_the_database(database, clock):
    """On PostgreSQL the statement reads the server's clock; on SQLite the host's clock is read."""
    clock.now = 12_345.9
    before = int(time.time())
    standing = StandingStore(database, clock).read("ada")
    if database.dialect == "sqlite":
        assert standing.now == 12_345
    else:
        assert before <= standing.now <= int(time.time())
    assert type(standing.now) is int


def test_missing_row_of_the_app_is_refused(database, standings):
    """Without the row, the database must not look as if nothing was ever revoked."""
    with database.write() as tx:
        tx.execute(app_standing.delete())
    with pytest.raises(Refusal) as refused:
        standings.read("ada")
    assert refused.value.code is Code.TEMPORARILY_UNAVAILABLE
    assert refused.value.retry_after == 30


def test_read_uses_the_primary_key(database, standings):
    """A million revoked users cost no more than a thousand."""
    with database.write() as tx:
        rows = [{"user_id": f"u{number}", "floor": number} for number in range(2_000)]
        tx.execute(user_standings.insert(), rows)
        if database.dialect == "postgresql":
            tx.exec_driver_sql("ANALYZE user_standings")
    plan = plan_of(database, lambda: standings.read("u7"))
    assert "SEARCH user_standings" in plan or "Index Scan using user_standings_pkey" in plan
    assert standings.read("u7").floor == 7


def test_only_standing_names_the_standing_tables():
    """One package reads, locks and writes both tables."""
    package = Path(tokensvc.__file__).parent
    naming = {
        path.relative_to(package).parts[0]
        for path in package.rglob("*.py")
        if re.search(r"\b(app_standing|user_standings)\b", path.read_text("utf-8"))
    }
    assert naming == {"database", "standing"}
