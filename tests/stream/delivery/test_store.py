"""The rows of deliveries, on both databases."""

import threading

import pytest
import sqlalchemy as sa

from testing.database_kinds import on_both
from testing.lock_waits import wait_until_blocked
from testing.query_plans import plan_of, recorded_plans
from tokensvc.stream.delivery import cut_offs, due_store, profile_store, rules, store
from tokensvc.stream.delivery.lanes import QUEUES
from tokensvc.stream.delivery.queue_store import read_backlog, read_due, read_sizes
from tokensvc.stream.delivery.rules import DeliveryState, Queue
from tokensvc.stream.delivery.tables import deliveries

pytestmark = on_both

USERS = Queue("user", DeliveryState.PENDING)
PAST, LATER = 1_000, 9_000_000_000


def mark_pending(database, *user_ids, now=float(PAST)):
    with database.write() as tx:
        for user_id in user_ids:
            store.mark_pending(tx, "user", user_id, now)


def row(database, user_id="ada"):
    with database.write() as tx:
        (found,) = store.lock(tx, "user", [user_id])
    return found


def change(database, user_id, **columns):
    with database.write() as tx:
        tx.execute(deliveries.update().where(deliveries.c.subject == user_id).values(columns))


def due(database, queue=USERS, now=2_000.0, limit=100):
    with database.write() as tx:
        return [found.subject for found in due_store.lock_due(tx, queue, now, limit)]


def test_all_columns_of_one_row_are_saved(database):
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
        late_since=7,
    )
    with database.write() as tx:
        store.save(tx, [changed])
    assert row(database) == changed
    assert row(database, "bob") == bob


@pytest.mark.parametrize("state", ["failed", "applied"])
@pytest.mark.parametrize("late_since", [None, 40])
def test_mark_pending_equals_the_rule_for_a_change(database, state, late_since):
    """
    The statement and the pure function do the same; both keep a lease.

    The previous release leaves `late_since` as it is.
    """
    mark_pending(database, "ada")
    change(database, "ada", state=state, lease_until=50, resend_at=70, attempts=4, last_error="no")
    change(database, "ada", late_since=late_since)
    before = row(database)
    mark_pending(database, "ada", now=3_000.7)
    assert row(database) == rules.mark_changed(before, 3_000.7, resend=False)


def test_more_rows_than_a_statement_takes_are_marked(database):
    """A replay after a restore has all users who were banned since."""
    user_ids = [f"user-{number}" for number in range(9_000)]
    with database.write() as tx:
        store.mark_each_pending(tx, "devices", user_ids, PAST)
        count = sa.select(sa.func.count()).select_from(deliveries)
        assert tx.execute(count).scalar_one() == len(user_ids)


def test_due_rows_are_open_and_not_leased(database):
    """Of one kind and state, the longest due first, at most as many as asked for."""
    mark_pending(database, *"abcdefgh")
    change(database, "a", due_at=2_001)
    change(database, "b", state="applied")
    change(database, "c", state="obsolete")
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
def test_due_queue_is_found(database, clock, queue):
    """Without a transaction, by the database's clock."""
    assert read_due(database, clock) == []
    with database.write() as tx:
        store.mark_pending(tx, queue.kind, "x", PAST, is_renewal=queue.is_renewal)
        store.mark_pending(tx, "user", "other", LATER)
    change(database, "x", state=queue.state)
    assert read_due(database, clock) == [queue]
    change(database, "x", lease_until=LATER)
    assert read_due(database, clock) == []
    change(database, "x", lease_until=PAST, due_at=LATER)
    assert read_due(database, clock) == []


def test_most_urgent_queue_is_first(database, clock):
    """App before users, cut-offs before renewals, pending before failed, both before profiles."""
    for queue in reversed(QUEUES):
        subject = f"{queue.kind}-{queue.state}-{queue.is_renewal}"
        with database.write() as tx:
            store.mark_pending(tx, queue.kind, subject, PAST, is_renewal=queue.is_renewal)
        change(database, subject, state=queue.state)
    assert read_due(database, clock) == list(QUEUES)


def test_row_that_another_transaction_locks_is_skipped(database):
    """PostgreSQL skips another sender's rows; SQLite has one writer at a time."""
    mark_pending(database, "ada", "bob")
    with database.write() as tx:
        (held,) = due_store.lock_due(tx, USERS, 2_000.0, 1)
        if database.dialect == "postgresql":
            assert due(database) == [{"ada": "bob", "bob": "ada"}[held.subject]]
        store.save(tx, [rules.lease(held, 2_000.0)])
    assert held.subject not in due(database)


MANY_ROWS = """
    WITH RECURSIVE numbers(number) AS (
        SELECT 0 UNION ALL SELECT number + 1 FROM numbers WHERE number < 99999
    )
    INSERT INTO deliveries (kind, subject, version, state, due_at, updated_at, late_since)
    SELECT
        CASE number % 5 WHEN 0 THEN 'user' WHEN 1 THEN 'profile' WHEN 2 THEN 'hint'
            WHEN 3 THEN 'devices' ELSE 'erasure' END,
        'u' || (number / 5), 1,
        CASE number / 5 % 40 WHEN 0 THEN 'pending' WHEN 1 THEN 'absent' WHEN 2 THEN 'failed'
            ELSE 'applied' END,
        1000 + number, 1000, CASE WHEN number / 5 % 40 < 3 THEN 1000 END
    FROM numbers
"""
"""100,000 rows: some of every kind in every state, and most applied."""


def test_look_ups_in_a_long_queue_use_an_index(database, clock):
    with database.write() as tx:
        if database.dialect == "postgresql":
            tx.exec_driver_sql("SET LOCAL statement_timeout = 0")
        tx.execute(sa.text(MANY_ROWS))
        if database.dialect == "postgresql":
            tx.exec_driver_sql("ANALYZE deliveries")
    plans = {
        "which queues": plan_of(database, lambda: read_due(database, clock)),
        "backlog": plan_of(database, lambda: read_backlog(database, 1_000)),
        "sizes": plan_of(database, lambda: read_sizes(database, 1_000)),
    }
    for queue in QUEUES:
        with recorded_plans(database) as recorded:
            due(database, queue, now=float(LATER))
        plans[f"{queue}"] = recorded[0]
    for name, plan in plans.items():
        assert "deliveries_open" in plan, name
        reads_all = [
            words for words in ("Seq Scan", "SCAN deliveries", "SCAN other") if words in plan
        ]
        assert not reads_all, (name, plan)
    assert "deliveries_late" in plans["sizes"]


def test_user_without_a_standing_has_no_cut_off(database):
    with database.write() as tx:
        store.mark_pending(tx, "user", "ada", PAST)
        rows = store.lock(tx, "user", ["ada"])
        assert cut_offs.claim_users(tx, rows, PAST) == {"ada": None}
        assert cut_offs.claim_app(tx, [], PAST) == {"": None}


def test_second_writer_of_a_profile_sees_the_first(database):
    """So that it knows which members to remove."""
    first, seen = profile_store.Profile({"name": "A"}, []), []
    with database.write() as tx:
        assert profile_store.lock(tx, "ada") is None
        profile_store.write(tx, "ada", first, PAST)

    def read():
        with database.write() as tx:
            seen.append(profile_store.lock(tx, "ada"))

    second = profile_store.Profile({"name": "B"}, ["color"])
    with database.write() as tx:
        assert profile_store.lock(tx, "ada") == first
        other = threading.Thread(target=read)
        other.start()
        wait_until_blocked(database)
        profile_store.write(tx, "ada", second, PAST)
    other.join()
    assert seen == [second]


def test_only_users_with_a_delivery_are_marked_for_resend(database):
    mark_pending(database, "ada")
    change(database, "ada", state="obsolete", resend_at=None)
    with database.write() as tx:
        store.mark_resend(tx, ["ada", "bob"], 5_000.0, resend=True)
        assert [found.subject for found in store.lock(tx, "user", ["ada", "bob"])] == ["ada"]
    ada = row(database)
    assert (ada.state, ada.version, ada.resend_at) == ("pending", 2, 5_000 + rules.RESEND_SECONDS)
