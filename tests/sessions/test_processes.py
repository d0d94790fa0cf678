"""Sessions in processes of their own: tabs, lost responses, thieves, actions and crashes."""

import pytest

from testing.database_url import url_of
from testing.runs import session_races
from testing.session_processes import running_processes
from testing.sessions import end_by_user, make_older, revocations_on
from tests.sessions.conftest import World
from tokensvc.core.actions import APP, ActionContext, Target
from tokensvc.core.clock import system_clock
from tokensvc.sessions.settings import SessionSettings
from tokensvc.standing.rules import RevocationKind

pytestmark = pytest.mark.slow

GRACE = SessionSettings().reuse_grace
CONTEXT = ActionContext("svc.backend")
ADA = Target("ada")


class RunningWorld(World):
    """A database with sessions, whose tokens two processes refresh."""

    def __init__(self, database, processes):
        super().__init__(database, system_clock)
        self.processes = processes
        self.revocations = revocations_on(database, system_clock)
        processes.open(url_of(database))

    def pass_time(self, seconds):
        make_older(self.database, seconds)

    def refresh_at(self, number, token):
        """Return the token, or the reason of the refusal, of one of the processes."""
        return self.processes.refresh(number, token)

    def end_by_user(self, kind):
        return end_by_user(self.revocations, ADA, kind)


@pytest.fixture(scope="module")
def shared_processes():
    with running_processes() as processes:
        yield processes


@pytest.fixture
def world(database, shared_processes):
    return RunningWorld(database, shared_processes)


@pytest.fixture
def mortal_world(database):
    """Yield a world with processes that a test kills."""
    with running_processes() as processes:
        yield RunningWorld(database, processes)


@pytest.mark.sec(27, 28, 29, 32)
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_session_has_one_next_token_whoever_presents_one_at_the_same_moment(database):
    """The short form of `python -m proofs.session_races`."""
    figures = session_races.prove(database, races=20, others=8)
    assert figures.holds, "\n".join(figures.lines())


def test_race_without_a_collision_or_with_a_fault_fails_the_proof():
    figures = session_races.Figures("sqlite", {"tabs": 1}, collisions=1)
    assert not figures.holds
    figures.count("tabs", ["tsr_1", "tsr_1", "ended"])
    assert figures.holds
    assert "1 races, 0 double winners, responses: 1 ended, 2 token" in "\n".join(figures.lines())
    figures.check("tabs", "double winner", holds=False)
    assert not figures.holds
    figures.faults.clear()
    figures.collisions = 0
    assert not figures.holds


@pytest.mark.sec(29, 30)
def test_reloads_and_a_second_tab_with_the_first_token_stay_signed_in(world):
    """Three refreshes in ten seconds in one tab, then one in the other: all get the same token."""
    first = world.sign_in().refresh_token
    latest = [world.refresh_at(0, first)]
    for _ in range(2):
        world.pass_time(3)
        latest.append(world.refresh_at(0, latest[-1]))
    world.pass_time(3)
    latest.append(world.refresh_at(1, first))
    assert len({*latest}) == 1
    assert latest[0].startswith("tsr_")
    world.pass_time(GRACE)
    continued = world.refresh_at(1, latest[0])
    assert continued not in {first, latest[0]}
    assert world.refresh_at(0, latest[0]) == continued
    assert world.actions() == ["session:refreshed"] * 2


ENDING = {
    "sign-out": lambda world, grant: world.sessions.end("ada", grant.family.id),
    "revocation": lambda world, _: world.revocations.revoke(ADA, CONTEXT),
    "suspension": lambda world, _: world.revocations.suspend("ada", CONTEXT),
    "revocation of all users": lambda world, _: world.revocations.revoke(APP, CONTEXT),
    "password change": lambda world, _: world.end_by_user(RevocationKind.PASSWORD),
    "deletion": lambda world, _: world.end_by_user(RevocationKind.DELETION),
}


@pytest.mark.sec(32, 33)
@pytest.mark.parametrize("name", ENDING)
def test_no_refresh_succeeds_after_the_response_to_an_action(world, name):
    """Refreshes that were under way have advanced a session that is dead."""
    grant = world.sign_in()
    reason = {"ended" if name == "sign-out" else "revoked"}

    def act(number):
        if number == 0:
            ENDING[name](world, grant)

    in_flight, after = world.processes.race([[grant.refresh_token]] * 2, act)
    assert {*after} == reason
    assert {world.refresh_at(1, token) for token in in_flight if token not in reason} <= reason
    assert world.sessions.read_open(grant.family.id) is None


@pytest.mark.sec(33)
def test_session_of_a_sign_in_that_an_action_overtook_is_dead(world):
    """The old password was right when it was checked."""
    before = world.sign_in().family.epochs
    world.end_by_user(RevocationKind.PASSWORD)
    assert world.refresh_at(0, world.sign_in(epochs=before).refresh_token) == "revoked"
    assert world.refresh_at(0, world.sign_in().refresh_token).startswith("tsr_")


@pytest.mark.sec(28)
def test_end_of_a_replayed_session_survives_a_crash_before_the_response(mortal_world):
    world = mortal_world
    grant = world.sign_in()
    latest = world.refresh_at(0, grant.refresh_token)
    world.pass_time(GRACE)
    world.processes.die_after_commit(0, grant.refresh_token)
    assert world.row(grant).ended_at is not None
    assert world.refresh_at(1, latest) == "ended"
    assert world.actions()[-2:] == ["session:replayed", "user:renewed"]


def test_rotation_survives_a_crash_before_the_response(mortal_world):
    """The client did not get the new token: its repeated request gets it."""
    grant = mortal_world.sign_in()
    mortal_world.processes.die_after_commit(0, grant.refresh_token)
    assert mortal_world.row(grant).counter == 1
    assert mortal_world.refresh_at(1, grant.refresh_token).startswith("tsr_")
    assert mortal_world.row(grant).counter == 1
