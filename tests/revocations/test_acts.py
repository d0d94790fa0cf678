"""The acts on SQLite and PostgreSQL: what each makes of a standing, and that nothing is lost."""

import threading

import pytest
import sqlalchemy as sa

from tokensvc.core.actions import ActionContext
from tokensvc.core.errors import Code, Refusal
from tokensvc.core.targets import APP, Target
from tokensvc.database.tables import audit_events, deliveries
from tokensvc.revocations.rules import HoldsUntil

CONTEXT = ActionContext("svc.backend", "asked by support")


def events(database):
    """Give (actor, action, subject, reason) of all events, oldest first."""
    columns = audit_events.c
    statement = sa.select(columns.actor, columns.action, columns.subject, columns.reason)
    with database.read() as connection:
        return [tuple(row) for row in connection.execute(statement.order_by(columns.id))]


def versions(database):
    """Give what is to be delivered: subject -> version."""
    with database.read() as connection:
        rows = connection.execute(sa.select(deliveries.c.subject, deliveries.c.version))
        return {row.subject: row.version for row in rows}


def test_a_revocation_moves_the_cut_off_to_the_next_second(revocations, standings, database):
    """The next read of the standing has it; the act, its event and its delivery are there."""
    before = standings.read("john").now
    state = revocations.revoke(Target("john"), CONTEXT)
    standing = standings.read("john")
    assert before < state.tokens_valid_after <= standing.now + 1
    assert standing.tokens_valid_after == standing.floor == state.tokens_valid_after
    assert state.revocation.tokens_valid_after == state.tokens_valid_after
    assert state.revocation.kind == "revocation"
    assert state.reason == "asked by support"
    assert (state.suspended, state.sessions) == (False, 0)
    assert state.stream.state == "pending"
    assert events(database) == [("svc.backend", "user:revoked", "john", "asked by support")]
    assert versions(database)["john"] >= 1
    assert standings.read("jane").tokens_valid_after is None


def test_everyone_is_revoked_at_once(revocations, standings, database):
    """The app's cut-off is everyone's; it is delivered as the app's, not as anybody's."""
    state = revocations.revoke(APP, CONTEXT)
    assert standings.read("jane").tokens_valid_after == state.tokens_valid_after
    assert standings.read("jane").floor == state.tokens_valid_after
    assert [event[1:3] for event in events(database)] == [("app:revoked", "app")]
    assert set(versions(database)) == {""}


def test_an_undo_lowers_the_cut_off_and_keeps_the_floor(revocations, standings, database):
    """Old credentials work again, and no token says that it is older than Stream may still want."""
    revoked = revocations.revoke(Target("john"), CONTEXT)
    undone = revocations.undo(Target("john"), revoked.revocation.id, CONTEXT)
    standing = standings.read("john")
    assert undone.tokens_valid_after is undone.revocation is undone.reason is None
    assert standing.tokens_valid_after is None
    assert standing.floor == revoked.tokens_valid_after
    assert events(database)[-1][1] == "user:revocation_undone"


def test_a_repeated_undo_changes_nothing(revocations, database):
    """It is answered as the first was, without another event or delivery."""
    act = revocations.revoke(Target("john"), CONTEXT).revocation.id
    first = revocations.undo(Target("john"), act, CONTEXT)
    before = (events(database), versions(database))
    assert revocations.undo(Target("john"), act, CONTEXT) == first
    assert (events(database), versions(database)) == before


def test_only_the_latest_that_stands_is_undone(revocations, standings):
    """An earlier one is superseded until the later one is undone; then its cut-off is back."""
    first = revocations.revoke(Target("john"), CONTEXT)
    second = revocations.revoke(Target("john"), CONTEXT)
    with pytest.raises(Refusal) as refused:
        revocations.undo(Target("john"), first.revocation.id, CONTEXT)
    assert refused.value.code is Code.SUPERSEDED
    state = revocations.undo(Target("john"), second.revocation.id, CONTEXT)
    assert state.tokens_valid_after == first.tokens_valid_after
    assert state.revocation == first.revocation
    assert standings.read("john").floor == second.tokens_valid_after


@pytest.mark.parametrize("whose", ["jane", None])
def test_an_act_of_another_is_not_found(revocations, whose):
    """An id undoes only the acts of whom it belongs to."""
    act = revocations.revoke(Target("john"), CONTEXT).revocation.id
    with pytest.raises(Refusal) as refused:
        revocations.undo(Target(whose), act, CONTEXT)
    assert refused.value.code is Code.NOT_FOUND


def test_a_suspension_is_one_act_however_often_it_is_asked_for(revocations, standings, database):
    """A second one changes nothing; it makes no row, no event and no delivery."""
    first = revocations.suspend("john", CONTEXT)
    assert first.suspended
    assert first.revocation.kind == "suspension"
    assert standings.read("john").suspended
    before = (events(database), versions(database))
    assert revocations.suspend("john", CONTEXT) == first
    assert (events(database), versions(database)) == before


def test_why_somebody_is_suspended_is_told_while_they_are(revocations):
    """Later acts do not hide it, in the state or in the list; after that the latest act is told."""
    revocations.suspend("john", ActionContext("svc.backend", "spam"))
    revocations.revoke(Target("john"), ActionContext("svc.backend", "lost phone"))
    (listed,) = revocations.users(suspended=True, after=None, limit=10)
    assert listed.reason == revocations.state(Target("john")).reason == "spam"
    assert listed.revocation.kind == "revocation"
    assert revocations.reinstate("john", CONTEXT).reason == "lost phone"


def test_a_reinstated_user_must_sign_in_again(revocations, standings, database):
    """The cut-off of the suspension stays, until its own act is undone."""
    suspended = revocations.suspend("john", CONTEXT)
    with pytest.raises(Refusal) as refused:
        revocations.undo(Target("john"), suspended.revocation.id, CONTEXT)
    assert (refused.value.code, refused.value.status) == (Code.USER_SUSPENDED, 409)
    reinstated = revocations.reinstate("john", CONTEXT)
    assert not reinstated.suspended
    assert reinstated.tokens_valid_after == suspended.tokens_valid_after
    assert revocations.reinstate("john", CONTEXT) == reinstated
    assert [event[1] for event in events(database)] == ["user:suspended", "user:reinstated"]
    undone = revocations.undo(Target("john"), suspended.revocation.id, CONTEXT)
    assert undone.tokens_valid_after is None
    assert not standings.read("john").suspended


@pytest.mark.parametrize("user_id", ["john", None])
def test_a_dry_run_does_nothing(revocations, standings, database, user_id):
    """It says what would come of the act, and leaves no trace."""
    context = ActionContext("svc.backend", dry_run=True)
    state = revocations.revoke(Target(user_id), context)
    assert state.revocation is not None
    assert standings.read("john").tokens_valid_after is None
    assert events(database) == []
    assert versions(database) == {}
    revocations.suspend("john", context)
    assert not standings.read("john").suspended


def test_acts_at_once_are_all_kept(revocations, standings, database):
    """Eight threads revoke one user that has no row yet: eight acts, one of them the latest."""
    threads = [
        threading.Thread(target=revocations.revoke, args=(Target("john"), CONTEXT))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(events(database)) == 8
    state = revocations.state(Target("john"))
    assert standings.read("john").floor == state.revocation.tokens_valid_after


def test_users_are_listed_by_id(revocations):
    """Those who were ever revoked or suspended, a page at a time, the suspended ones alone."""
    for user_id in ("carol", "alice", "bob"):
        revocations.revoke(Target(user_id), CONTEXT)
    revocations.suspend("bob", CONTEXT)
    everyone = revocations.users(suspended=None, after=None, limit=2)
    assert [state.user_id for state in everyone] == ["alice", "bob"]
    assert [s.user_id for s in revocations.users(suspended=None, after="bob", limit=2)] == ["carol"]
    assert [s.user_id for s in revocations.users(suspended=True, after=None, limit=9)] == ["bob"]
    assert len(revocations.users(suspended=False, after=None, limit=9)) == 2


def test_how_long_a_revocation_holds(revocations):
    """As long as the weakest source that the id may come from; a suspension until it is ended."""
    assert (
        revocations.holds_until(revocations.revoke(Target("john"), CONTEXT))
        is HoldsUntil.NEXT_SIGN_IN
    )
    assert (
        revocations.holds_until(revocations.revoke(Target("a0-x"), CONTEXT))
        is HoldsUntil.NEXT_TOKEN
    )
    assert revocations.holds_until(revocations.revoke(APP, CONTEXT)) is HoldsUntil.NEXT_TOKEN
    assert revocations.holds_until(revocations.suspend("john", CONTEXT)) is HoldsUntil.REINSTATEMENT


def test_the_trail_is_append_only(revocations, database):
    """The database itself refuses to change or delete an event."""
    revocations.revoke(Target("john"), CONTEXT)
    for statement in (
        audit_events.update().values(actor="nobody"),
        audit_events.delete(),
    ):
        with pytest.raises(sa.exc.DBAPIError, match="append-only"), database.write() as tx:
            tx.execute(statement)
    assert len(events(database)) == 1
