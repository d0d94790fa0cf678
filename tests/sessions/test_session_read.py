"""The one read of a session with the standings of its user, on both databases."""

from functools import partial

import pytest

from testing.query_plans import plan_of
from tokensvc.core.errors import Code, Refusal
from tokensvc.sessions import store
from tokensvc.sessions.store import SessionRow
from tokensvc.sessions.tables import sessions
from tokensvc.standing import ring_versions
from tokensvc.standing.rules import Epochs, Ring, RingVersion
from tokensvc.standing.tables import app_standing, user_standings

ROW = SessionRow(
    id="s1",
    user_id="ada",
    client_id="app",
    counter=7,
    rotated_at=1_799_999_990.25,
    created_at=1_799_000_000.5,
    last_used_at=1_799_999_990.25,
    user_epoch=3,
    app_epoch=2,
    ended_at=None,
    family_key_ciphertext="gAAAA",
    encrypted_with="f" * 16,
    address_hash="a" * 64,
    network_hash="b" * 64,
    confirmed_counter=6,
)


@pytest.fixture
def read(database, clock):
    with database.write() as tx:
        tx.execute(sessions.insert().values(ROW._asdict()))
    return partial(store.read, database, clock)


def test_session_is_read_with_the_standings_and_both_ring_versions(database, read):
    with database.write() as tx:
        tx.execute(app_standing.update().values(tokens_valid_after=5, floor=9, epoch=2))
        user = {"user_id": "ada", "tokens_valid_after": 7, "floor": 8, "epoch": 4}
        tx.execute(user_standings.insert().values(user))
        tx.execute(user_standings.insert().values(user_id="bob", floor=99, epoch=99))
        ring_versions.change(tx, Ring.SIGNING)
        stream, signing = (ring_versions.read(tx, ring) for ring in Ring)
    found = read("s1")
    assert found.session == ROW
    assert (found.standing.tokens_valid_after, found.standing.floor) == (7, 9)
    assert not found.standing.suspended
    assert found.epochs == Epochs(user=4, app=2)
    assert (found.standing.ring_version, found.signing_ring_version) == (stream, signing)
    assert signing.counter == 1
    assert type(found.signing_ring_version) is RingVersion


def test_user_without_a_standing_has_epoch_0(read):
    found = read("s1")
    assert found.epochs == Epochs(user=0, app=0)
    assert found.standing.tokens_valid_after is None


def test_clock_of_the_database_is_read_with_fractions(database, read, clock):
    clock.now = 12_345.75
    found = read("s1")
    assert found.standing.now == int(found.now)
    assert (found.now == 12_345.75) == (database.dialect == "sqlite")


def test_unknown_session_is_none_and_a_missing_row_of_the_app_is_refused(database, read):
    """The latter must not look as if nothing was ever revoked."""
    assert read("unknown") is None
    with database.write() as tx:
        tx.execute(app_standing.delete())
    with pytest.raises(Refusal) as refused:
        read("s1")
    assert refused.value.code is Code.TEMPORARILY_UNAVAILABLE


def test_read_uses_primary_keys(database, read):
    """A million sessions cost no more than a thousand."""
    with database.write() as tx:
        rows = [ROW._replace(id=f"x{number}")._asdict() for number in range(2_000)]
        tx.execute(sessions.insert(), rows)
        tx.execute(user_standings.insert(), [{"user_id": f"u{number}"} for number in range(2_000)])
        if database.dialect == "postgresql":
            tx.exec_driver_sql("ANALYZE sessions, user_standings")
    plan = plan_of(database, lambda: read("s1"))
    for table in ("sessions", "user_standings"):
        assert f"SEARCH {table}" in plan or f"Index Scan using {table}_pkey" in plan


def test_clock_is_read_before_the_session_and_its_standings(database, read):
    """The statement finds a cut-off that was set after the clock was read: see `Standing.now`."""

    def clock():
        with database.write() as tx:
            tx.execute(app_standing.update().values(tokens_valid_after=1_001, floor=1_001))
        return 1_000.9

    found = store.read(database, clock, "s1")
    assert found.standing.tokens_valid_after == 1_001
    if database.dialect == "sqlite":
        assert found.now == 1_000.9
