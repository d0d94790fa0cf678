"""Undone revocations and finished deliveries are deleted, and no standing changes."""

import pytest
import sqlalchemy as sa

from testing.purging import LaterClock, purge_all
from testing.query_plans import reads_all_rows, recorded_plans
from tokensvc.core.actions import ActionContext
from tokensvc.core.errors import Code, Refusal
from tokensvc.core.targets import APP, Target
from tokensvc.database.deletion import Purge
from tokensvc.database.tables import deliveries
from tokensvc.database.tables import revocations as revocations_table
from tokensvc.revocations.purge import RevocationPurge
from tokensvc.stream.delivery import store as delivery_store
from tokensvc.stream.delivery.rules import OBSOLETE_AFTER

CONTEXT = ActionContext("svc.backend", "why")
RETENTION = 30 * 86400
USERS = ("clean", "revoked", "undone", "once", "suspended", "reinstated")


@pytest.fixture
def later(database, clock):
    return LaterClock(database, clock)


@pytest.fixture
def purge(database, later):
    return RevocationPurge(database, later, RETENTION)


def undo_latest(revocations, target):
    revocations.undo(target, revocations.state(target).revocation.id, CONTEXT)


def act_on_everyone(revocations):
    """Leave each kind of standing behind."""
    for user_id in ("revoked", "revoked", "undone", "once", "once"):
        revocations.revoke(Target(user_id), CONTEXT)
    undo_latest(revocations, Target("undone"))
    undo_latest(revocations, Target("once"))
    for user_id in ("suspended", "reinstated"):
        revocations.suspend(user_id, CONTEXT)
    revocations.reinstate("reinstated", CONTEXT)
    for _ in range(2):
        revocations.revoke(APP, CONTEXT)
    undo_latest(revocations, APP)


def finish_deliveries(database, state="applied"):
    with database.write() as tx:
        tx.execute(deliveries.update().values(state=state))


def rows(database, table):
    with database.read() as connection:
        return connection.execute(sa.select(table)).all()


def everything(revocations, standings):
    """Return each state without its delivery, and each standing as a mint reads it."""
    states = [revocations.state(target) for target in (APP, *map(Target, USERS))]
    return [
        [(state.tokens_valid_after, state.reason, state.revocation) for state in states],
        [getattr(state, "suspended_at", None) for state in states],
        [
            (found.tokens_valid_after, found.floor, found.suspended)
            for found in map(standings.read, USERS)
        ],
    ]


@pytest.mark.sec(66)
def test_purge_changes_no_standing(database, revocations, standings, purge, later):
    """Neither the state, nor what a mint reads, nor where a later undo goes back to."""
    act_on_everyone(revocations)
    finish_deliveries(database)
    before = everything(revocations, standings)
    later.ahead = 10 * RETENTION
    purge_all(purge)
    assert len(rows(database, revocations_table)) == 6
    assert rows(database, deliveries) == []
    assert everything(revocations, standings) == before
    first = revocations.state(Target("revoked")).tokens_valid_after
    undo_latest(revocations, Target("revoked"))
    assert 0 < revocations.state(Target("revoked")).tokens_valid_after <= first


def test_undone_revocation_stays_for_the_retention(database, revocations, purge, later):
    revocations.revoke(Target("ada"), CONTEXT)
    undo_latest(revocations, Target("ada"))
    later.ahead = RETENTION - 60
    purge_all(purge)
    assert len(rows(database, revocations_table)) == 1
    later.ahead = RETENTION + 60
    purge_all(purge)
    assert rows(database, revocations_table) == []


def test_repeated_undo_changes_nothing_until_the_purge_and_is_not_found_later(
    revocations, purge, later
):
    revocation_id = revocations.revoke(Target("ada"), CONTEXT).revocation.id
    for _ in range(2):
        assert revocations.undo(Target("ada"), revocation_id, CONTEXT).tokens_valid_after is None
    later.ahead = RETENTION + 60
    purge_all(purge)
    with pytest.raises(Refusal) as refused:
        revocations.undo(Target("ada"), revocation_id, CONTEXT)
    assert refused.value.code == Code.NOT_FOUND


@pytest.mark.parametrize("state", ["pending", "failed", "absent"])
def test_unfinished_delivery_is_never_purged(database, revocations, purge, later, state):
    revocations.revoke(Target("ada"), CONTEXT)
    finish_deliveries(database, state)
    later.ahead = 10 * RETENTION
    purge_all(purge)
    assert len(rows(database, deliveries)) == 1


@pytest.mark.parametrize("state", ["applied", "obsolete"])
def test_delivery_stays_while_a_token_from_before_can_be_valid(database, revocations, later, state):
    """Also with a shorter retention: Stream may lose the cut-off and must get it again."""
    purge = RevocationPurge(database, later, 86400)
    revocations.revoke(Target("ada"), CONTEXT)
    finish_deliveries(database, state)
    later.ahead = OBSOLETE_AFTER - 60
    purge_all(purge)
    assert len(rows(database, deliveries)) == 1
    later.ahead = OBSOLETE_AFTER + 60
    purge_all(purge)
    assert rows(database, deliveries) == []


def test_action_after_a_purge_is_delivered(database, revocations, purge, later):
    revocations.revoke(Target("ada"), CONTEXT)
    finish_deliveries(database)
    later.ahead = 10 * RETENTION
    purge_all(purge)
    assert revocations.state(Target("ada")).stream.state == "applied"
    assert revocations.revoke(Target("ada"), CONTEXT).stream.state == "pending"


def test_purge_runs_in_batches(database, revocations, purge, later, monkeypatch):
    monkeypatch.setattr(Purge, "batch", 2)
    for number in range(5):
        target = Target(f"user-{number}")
        revocations.revoke(target, CONTEXT)
        undo_latest(revocations, target)
    finish_deliveries(database)
    later.ahead = 10 * RETENTION
    left = []
    while purge.step():
        left.append((len(rows(database, revocations_table)), len(rows(database, deliveries))))
    assert left == [(3, 3), (1, 1)]
    assert rows(database, revocations_table) == rows(database, deliveries) == []


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_purge_does_not_wait_for_a_locked_row(database, revocations, purge, later):
    """It is left for the next purge. On SQLite there is one writer at a time."""
    for name in ("ada", "bob"):
        revocations.revoke(Target(name), CONTEXT)
    finish_deliveries(database)
    later.ahead = 10 * RETENTION
    with database.write() as tx:
        delivery_store.lock(tx, "user", ["ada"])
        purge_all(purge)
    assert [row.subject for row in rows(database, deliveries)] == ["ada"]


def test_purge_uses_indexes(database, purge, later, monkeypatch):
    """It reads the rows to delete, and no others."""
    monkeypatch.setattr(Purge, "batch", 2)
    with database.write() as tx:
        tx.execute(revocations_table.insert(), [old_revocation(n) for n in range(2_000)])
        tx.execute(deliveries.insert(), [old_delivery(n) for n in range(2_000)])
        if database.dialect == "postgresql":
            tx.exec_driver_sql("ANALYZE revocations, deliveries")
    later.ahead = 10 * RETENTION
    with recorded_plans(database) as plans:
        assert purge.step()
    assert not [plan for plan in plans if reads_all_rows(plan)]
    for index in ("revocations_undone", "deliveries_finished"):
        assert [plan for plan in plans if index in plan]


def old_revocation(number):
    return {
        "id": f"rev_{number}",
        "user_id": f"user-{number}",
        "kind": "revocation",
        "tokens_valid_after": number,
        "created_at": number,
        "undone_at": number,
        "actor": "svc.backend",
    }


def old_delivery(number):
    return {
        "kind": "user",
        "subject": f"user-{number}",
        "version": 1,
        "state": "applied",
        "due_at": number,
        "updated_at": number,
    }
