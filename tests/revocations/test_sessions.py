"""Actions end the sessions of built-in accounts, and nothing brings those back."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from testing.sessions import end_by_user, open_session
from tokensvc.core.actions import APP, ActionContext, Target
from tokensvc.core.errors import OAuthError, Refusal
from tokensvc.standing import store as standing_rows
from tokensvc.standing.rules import RevocationKind

CONTEXT = ActionContext("svc.backend", "asked by support")
JOHN = Target("john")


@dataclass
class Actions:
    """Revocations and sessions on one database."""

    revocations: object
    sessions: object
    database: object
    clock: object

    def epochs(self, user_id="john"):
        with self.database.read() as connection:
            return standing_rows.read_epochs(connection, user_id)

    def sign_in(self, user_id="john", epochs=None):
        with self.database.write() as tx:
            return open_session(tx, self.sessions, user_id, epochs=epochs)

    def is_refused(self, grant):
        """Return whether a session gives no access: neither by refresh nor to access tokens."""
        found = self.sessions.read_open(grant.family.id)
        try:
            self.sessions.refresh(grant.refresh_token, "app")
        except Refusal as refusal:
            assert refusal.oauth_error is OAuthError.INVALID_GRANT
            assert refusal.reason == "revoked"
            assert found is None
            return True
        assert found is not None
        return False

    def end_by_user(self, kind):
        return end_by_user(self.revocations, JOHN, kind)


@pytest.fixture
def actions(revocations, sessions, database, clock):
    return Actions(revocations, sessions, database, clock)


ENDING: dict[str, Callable[[Actions], object]] = {
    "revocation": lambda actions: actions.revocations.revoke(JOHN, CONTEXT),
    "suspension": lambda actions: actions.revocations.suspend("john", CONTEXT),
    "revocation of all users": lambda actions: actions.revocations.revoke(APP, CONTEXT),
    "password change": lambda actions: actions.end_by_user(RevocationKind.PASSWORD),
    "deletion": lambda actions: actions.end_by_user(RevocationKind.DELETION),
}
ending = pytest.mark.parametrize("name", ENDING)


@pytest.mark.sec(33)
@ending
def test_action_ends_the_sessions_of_its_users_only(actions, name):
    """A sign-in after the action begins a session that lives."""
    grant, other = actions.sign_in(), actions.sign_in("jane")
    ENDING[name](actions)
    assert actions.is_refused(grant)
    assert actions.is_refused(other) == (name == "revocation of all users")
    assert not actions.is_refused(actions.sign_in())


@ending
def test_action_during_a_sign_in_ends_its_session(actions, name):
    """The epochs are those from before the password was checked."""
    epochs = actions.epochs()
    ENDING[name](actions)
    assert actions.is_refused(actions.sign_in(epochs=epochs))


@ending
def test_undo_and_reinstatement_leave_sessions_ended(actions, name):
    grant = actions.sign_in()
    ENDING[name](actions)
    if name == "suspension":
        actions.revocations.reinstate("john", CONTEXT)
    target = APP if name == "revocation of all users" else JOHN
    state = actions.revocations.state(target)
    undone = actions.revocations.undo(target, state.revocation.id, CONTEXT)
    assert undone.tokens_valid_after is None
    assert actions.is_refused(grant)


def test_dry_run_and_repeated_suspension_leave_sessions_alone(actions):
    actions.revocations.suspend("john", CONTEXT)
    grant, epochs = actions.sign_in(), actions.epochs()
    actions.revocations.suspend("john", CONTEXT)
    actions.revocations.revoke(JOHN, ActionContext("svc.backend", dry_run=True))
    actions.revocations.confirm_remaining()
    assert actions.epochs() == epochs
    assert not actions.is_refused(grant)


def test_state_counts_live_sessions(actions):
    for user_id in ("john", "john", "jane"):
        actions.sign_in(user_id)
    assert actions.revocations.state(JOHN).sessions == 2
    assert actions.revocations.suspend("john", CONTEXT).sessions == 0
    actions.revocations.suspend("jane", CONTEXT)
    actions.sign_in("jane")
    listed = actions.revocations.users(suspended=True, after=None, limit=10)
    assert [(state.user_id, state.sessions) for state in listed] == [("jane", 1), ("john", 0)]


@pytest.mark.parametrize("kind", [RevocationKind.PASSWORD, RevocationKind.DELETION])
def test_state_shows_the_user_s_own_action(actions, standings, kind):
    """It moves the cut-off like a revocation, and is confirmed like one."""
    state = actions.end_by_user(kind)
    assert state.revocation.kind == kind
    assert standings.read("john").tokens_valid_after == state.revocation.tokens_valid_after
    assert actions.revocations.confirm(JOHN) == state
    assert not actions.revocations.confirm_remaining()
