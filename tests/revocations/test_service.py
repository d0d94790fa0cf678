"""The actions on SQLite and PostgreSQL: what each changes, and that none is lost."""

import threading
import time

import sqlalchemy as sa

from tokensvc.audit.tables import audit_events
from tokensvc.core import deadline
from tokensvc.core.actions import ActionContext, Target
from tokensvc.stream.delivery.tables import deliveries

CONTEXT = ActionContext("svc.backend", "asked by support")
JOHN = Target("john")


def events(database):
    """Return (actor, action, subject, reason) of all events, oldest first."""
    columns = audit_events.c
    statement = sa.select(columns.actor, columns.action, columns.subject, columns.reason)
    with database.read() as connection:
        return [tuple(row) for row in connection.execute(statement.order_by(columns.id))]


def versions(database):
    """Return the version of each delivery by its subject."""
    with database.read() as connection:
        rows = connection.execute(sa.select(deliveries.c.subject, deliveries.c.version))
        return {row.subject: row.version for row in rows}


def test_revocation_moves_the_cut_off_to_the_next_second(revocations, standings, database):
    """The next read sees it; the revocation, its event and its delivery are stored."""
    before = standings.read("john").now
    state = revocations.revoke(JOHN, CONTEXT)
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


def test_undo_lowers_the_cut_off_and_keeps_the_floor(revocations, standings, database):
    revoked = revocations.revoke(JOHN, CONTEXT)
    undone = revocations.undo(JOHN, revoked.revocation.id, CONTEXT)
    standing = standings.read("john")
    assert undone.tokens_valid_after is undone.revocation is undone.reason is None
    assert standing.tokens_valid_after is None
    assert standing.floor == revoked.tokens_valid_after
    assert events(database)[-1][1] == "user:revocation_undone"
    before = (events(database), versions(database))
    assert revocations.undo(JOHN, revoked.revocation.id, CONTEXT) == undone
    assert (events(database), versions(database)) == before


def test_repeated_suspension_changes_nothing(revocations, standings, database):
    """The repetition adds no revocation, no event and no delivery."""
    first = revocations.suspend("john", CONTEXT)
    assert first.suspended
    assert first.revocation.kind == "suspension"
    assert standings.read("john").suspended
    before = (events(database), versions(database))
    assert revocations.suspend("john", CONTEXT) == first
    assert (events(database), versions(database)) == before


def test_state_shows_the_reason_of_the_suspension_while_it_lasts(revocations):
    """After the reinstatement it shows the reason of the latest revocation."""
    revocations.suspend("john", ActionContext("svc.backend", "spam"))
    revocations.revoke(JOHN, ActionContext("svc.backend", "lost phone"))
    (listed,) = revocations.users(suspended=True, after=None, limit=10)
    assert listed.reason == revocations.state(JOHN).reason == "spam"
    assert listed.revocation.kind == "revocation"
    assert revocations.reinstate("john", CONTEXT).reason == "lost phone"


def test_concurrent_revocations_are_all_kept(revocations, standings, database):
    """Eight threads revoke one user who has no row yet."""
    threads = [threading.Thread(target=revocations.revoke, args=(JOHN, CONTEXT)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(events(database)) == 8
    state = revocations.state(JOHN)
    assert standings.read("john").floor == state.revocation.tokens_valid_after


def test_requested_wait_extends_the_deadline(revocations):
    """The state is read at the end of the wait, although the request has lasted for longer."""
    revocations.revoke(JOHN, CONTEXT)
    deadline.begin(time.monotonic(), seconds=0.2)
    try:
        assert revocations.wait_until_applied(JOHN, 1).stream.state == "pending"
    finally:
        deadline.end()
