"""The rows of deliveries, on both databases."""

import threading

import pytest
import sqlalchemy as sa

from tokensvc.database.tables import deliveries
from tokensvc.delivery import profile_store, rules, store
from tokensvc.delivery.rules import DeliveryState
from tokensvc.delivery.store import QUEUES, DueQueues, Queue

USERS = Queue("user", DeliveryState.PENDING)
PAST, LATER = 1_000, 9_000_000_000


def mark_pending(database, *user_ids, now=float(PAST)):
    with database.write() as tx:
        for user_id in user_ids:
            store.mark_pending(tx, "user", user_id, now)


def row(database, user_id="ada", kind="user"):
    with database.write() as tx:
        (found,) = store.lock(tx, kind, [user_id])
    return found


def change(database, user_id, **columns):
    with database.write() as tx:
        tx.execute(deliveries.update().where(deliveries.c.subject == user_id).values(columns))


def due(database, queue=USERS, now=2_000.0, limit=100):
    with database.write() as tx:
        return [found.subject for found in store.due(tx, queue, now, limit)]


def test_a_row_comes_back_as_it_was_saved(database):
    """Every column is written, and by its key alone."""
    mark_pending(database, "ada", "bob")
    bob = row(database, "bob")
    changed = rules.Delivery(
        kind="user",
        subject="ada",
        version=7,
        applied_version=6,
        state=DeliveryState.FAILED,
        due_at=1,
        lease_until=2,
        attempts=3,
        resend_at=4,
        absent_since=5,
        last_error="why",
        updated_at=6,
    )
    with database.write() as tx:
        store.save(tx, [changed])
    assert row(database) == changed
    assert row(database, "bob") == bob


def test_a_mark_is_what_the_rules_call_differing(database):
    """The one statement of an act and the pure function do the same, a lease included."""
    mark_pending(database, "ada")
    change(
        database, "ada", state="failed", lease_until=50, resend_at=70, attempts=4, last_error="no"
    )
    before = row(database)
    mark_pending(database, "ada", now=3_000.7)
    assert row(database) == rules.mark_changed(before, 3_000.7, resend=False)


def test_due_is_what_is_open_free_and_late_enough(database):
    """Of one kind and state, the longest due first, no more than asked for."""
    mark_pending(database, *"abcdefgh")
    change(database, "a", due_at=2_001)
    change(database, "b", state="applied")
    change(database, "c", state="moot")
    change(database, "d", state="failed")
    change(database, "e", lease_until=2_001)
    change(database, "f", lease_until=2_000)
    change(database, "g", due_at=PAST - 1)
    with database.write() as tx:
        store.mark_pending(tx, "profile", "h", PAST)
        store.mark_pending(tx, "app", "", PAST)
    assert due(database)[0] == "g"
    assert sorted(due(database)) == ["f", "g", "h"]
    assert due(database, limit=1) == ["g"]
    assert due(database, Queue("user", DeliveryState.FAILED)) == ["d"]
    assert due(database, Queue("profile", DeliveryState.PENDING)) == ["h"]
    assert due(database, Queue("app", DeliveryState.PENDING)) == [""]


@pytest.mark.parametrize("queue", QUEUES, ids=lambda queue: f"{queue.kind}-{queue.state}")
def test_a_look_finds_the_queue(database, clock, queue):
    """Without a transaction, whatever else lies there, by the clock of the database."""
    look = DueQueues(database, clock)
    assert look.read() == []
    with database.write() as tx:
        store.mark_pending(tx, queue.kind, "x", PAST)
        store.mark_pending(tx, "user", "other", LATER)
    change(database, "x", state=queue.state)
    assert look.read() == [queue]
    change(database, "x", lease_until=LATER)
    assert look.read() == []
    change(database, "x", lease_until=PAST, due_at=LATER)
    assert look.read() == []


def test_a_look_gives_the_most_urgent_first(database, clock):
    """Everyone's before users', pending before failed, acts before profiles."""
    for queue in reversed(QUEUES):
        subject = f"{queue.kind}-{queue.state}"
        with database.write() as tx:
            store.mark_pending(tx, queue.kind, subject, PAST)
        change(database, subject, state=queue.state)
    assert DueQueues(database, clock).read() == list(QUEUES)


def test_a_row_that_another_transaction_holds_is_passed_over(database):
    """On PostgreSQL nobody waits for another sender's claim; on SQLite there is one at a time."""
    mark_pending(database, "ada", "bob")
    with database.write() as tx:
        (held,) = store.due(tx, USERS, 2_000.0, 1)
        if database.dialect == "postgresql":
            assert due(database) == [{"ada": "bob", "bob": "ada"}[held.subject]]
        store.save(tx, [rules.lease(held, 2_000.0)])
    assert held.subject not in due(database)


def test_many_claims_at_once_take_each_row_once(database):
    """Eight threads, four hundred rows: no row is claimed twice, and none is left."""
    mark_pending(database, *(f"u{number}" for number in range(400)))
    lease = []

    def claim():
        while True:
            with database.write() as tx:
                found = store.due(tx, USERS, 2_000.0, 7)
                store.save(tx, [rules.lease(one, 2_000.0) for one in found])
            if not found:
                return
            lease.extend(one.subject for one in found)

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lease) == len(set(lease)) == 400


@pytest.mark.parametrize("queue", [USERS, Queue("user", DeliveryState.ABSENT)])
def test_what_is_due_is_found_by_the_index(database, queue):
    """A hundred thousand missing users who wait cost the look and the claim nothing."""
    with database.write() as tx:
        waiting = [
            {
                "kind": "user",
                "subject": f"u{number}",
                "version": 1,
                "state": ("absent", "applied", "failed")[number % 3],
                "due_at": LATER,
                "updated_at": PAST,
            }
            for number in range(3_000)
        ]
        tx.execute(deliveries.insert(), waiting)
        if database.dialect == "postgresql":
            tx.exec_driver_sql("ANALYZE deliveries")
    statement = sa.select(deliveries).where(*store._is_due(queue, sa.literal(2_000, sa.BigInteger)))
    explain = "EXPLAIN QUERY PLAN " if database.dialect == "sqlite" else "EXPLAIN "
    with database.read() as connection:
        sql = statement.compile(connection, compile_kwargs={"literal_binds": True})
        plan = " ".join(str(line) for line in connection.exec_driver_sql(explain + str(sql)))
    assert "deliveries_open" in plan
    assert "due_at" in plan


def test_the_cut_off_of_who_was_never_revoked_is_none(database):
    """A marked user without a standing is one whom nothing stands against."""
    with database.read() as connection:
        assert store.wanted(connection, "user", ["ada"]) == {"ada": None}
        assert store.wanted(connection, "app", [""]) == {"": None}


def test_two_who_set_one_profile_come_one_after_the_other(database):
    """The second sees what the first has set, and so knows what is to be taken away."""
    first, seen = profile_store.Profile({"name": "A"}, []), []
    with database.write() as tx:
        assert profile_store.lock(tx, "ada") is None
        profile_store.write(tx, "ada", first, PAST)

    def look():
        with database.write() as tx:
            seen.append(profile_store.lock(tx, "ada"))

    second = profile_store.Profile({"name": "B"}, ["color"])
    with database.write() as tx:
        assert profile_store.lock(tx, "ada") == first
        other = threading.Thread(target=look)
        other.start()
        other.join(0.3)
        profile_store.write(tx, "ada", second, PAST)
    other.join()
    assert seen == [second]


def test_only_who_was_ever_told_can_differ(database):
    """A creation of a user whom no act ever touched brings no cut-off over."""
    mark_pending(database, "ada")
    change(database, "ada", state="moot", resend_at=None)
    with database.write() as tx:
        store.mark_resend(tx, ["ada", "bob"], 5_000.0, resend=True)
        assert [found.subject for found in store.lock(tx, "user", ["ada", "bob"])] == ["ada"]
    ada = row(database)
    assert (ada.state, ada.version, ada.resend_at) == ("pending", 2, 5_000 + rules.RESEND_SECONDS)
