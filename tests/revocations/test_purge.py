"""Undone revocations and finished deliveries are deleted, and no standing changes."""

from functools import partial

import pytest
import sqlalchemy as sa

from testing.purging import LaterClock, purge_all
from tokensvc.core.actions import APP, ActionContext, Target
from tokensvc.core.errors import Code, Refusal
from tokensvc.revocations import store
from tokensvc.revocations.tables import revocations as revocations_table
from tokensvc.stream.delivery.tables import deliveries

CONTEXT = ActionContext("svc.backend", "why")
RETENTION = 30 * 86400
USERS = ("clean", "revoked", "undone", "once", "suspended", "reinstated")


@pytest.fixture
def later(database, clock):
    return LaterClock(database, clock)


@pytest.fixture
def purge(database, later):
    return partial(purge_all, database, later, partial(store.purge, retention=RETENTION))


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


def finish_deliveries(database):
    with database.write() as tx:
        tx.execute(deliveries.update().values(state="applied"))


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
    purge()
    assert len(rows(database, revocations_table)) == 6
    assert rows(database, deliveries) == []
    assert everything(revocations, standings) == before
    first = revocations.state(Target("revoked")).tokens_valid_after
    undo_latest(revocations, Target("revoked"))
    assert 0 < revocations.state(Target("revoked")).tokens_valid_after <= first


def test_repeated_undo_changes_nothing_until_the_purge_and_is_not_found_later(
    revocations, purge, later
):
    revocation_id = revocations.revoke(Target("ada"), CONTEXT).revocation.id
    for _ in range(2):
        assert revocations.undo(Target("ada"), revocation_id, CONTEXT).tokens_valid_after is None
    later.ahead = RETENTION + 60
    purge()
    with pytest.raises(Refusal) as refused:
        revocations.undo(Target("ada"), revocation_id, CONTEXT)
    assert refused.value.code == Code.NOT_FOUND


def test_action_after_a_purge_is_delivered(database, revocations, purge, later):
    revocations.revoke(Target("ada"), CONTEXT)
    finish_deliveries(database)
    later.ahead = 10 * RETENTION
    purge()
    assert revocations.state(Target("ada")).stream.state == "applied"
    assert revocations.revoke(Target("ada"), CONTEXT).stream.state == "pending"
