"""Requests at the same moment, on SQLite and PostgreSQL, with real threads."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from testing.sessions import sessions_on
from tokensvc.core.errors import Code, OAuthError, Refusal
from tokensvc.database.engine import Database
from tokensvc.sessions import service
from tokensvc.sessions.settings import SessionSettings

GRACE = SessionSettings().reuse_grace
THREADS = 16
ROUNDS = 4


def simultaneously(*calls):
    """Return the result of each call, or the refusal that it raised."""
    barrier = threading.Barrier(len(calls))

    def run(call):
        barrier.wait()
        try:
            return call()
        except Refusal as refusal:
            return refusal

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


@pytest.fixture
def other_process(world):
    """Yield the sessions of a process with connections of its own."""
    url = world.database._engine.url.render_as_string(hide_password=False).replace("+psycopg", "")
    database = Database.open(url, pool_size=THREADS // 2)
    yield sessions_on(database, world.clock)
    database.close()


@pytest.mark.sec(29)
def test_simultaneous_refreshes_advance_once_and_get_the_same_token(world, other_process):
    latest = world.sign_in()
    for number in range(1, ROUNDS + 1):
        calls = [
            lambda part=part, token=latest.refresh_token: part.refresh(token, "app")
            for part in [world.sessions, other_process] * (THREADS // 2)
        ]
        grants = simultaneously(*calls)
        assert len({grant.refresh_token for grant in grants}) == 1, grants
        assert {grant.family.counter for grant in grants} == {number}
        assert world.row(latest).counter == number
        assert world.actions() == ["session:refreshed"] * number
        latest = grants[0]
        world.pass_time(GRACE)


@pytest.mark.sec(27)
def test_thief_and_user_never_both_continue(world):
    """Whichever of the late predecessor and the current token is first."""
    for _ in range(ROUNDS):
        stolen = world.sign_in()
        latest = world.sessions.refresh(stolen.refresh_token, "app")
        world.pass_time(GRACE)
        _, thief = simultaneously(
            lambda token=latest.refresh_token: world.sessions.refresh(token, "app"),
            lambda token=stolen.refresh_token: world.sessions.refresh(token, "app"),
        )
        assert thief.oauth_error is OAuthError.INVALID_GRANT
        assert world.row(stolen).ended_at is not None
        assert world.refusal(latest.refresh_token) == "ended"
    assert world.actions().count("session:replayed") == ROUNDS


def test_no_refresh_that_begins_after_a_revocation_succeeds(world):
    """One that is under way may advance the row, but the session is dead."""
    for _ in range(ROUNDS):
        grant = world.sign_in()
        calls = [lambda token=grant.refresh_token: world.sessions.refresh(token, "app")] * 7
        results = simultaneously(world.raise_epoch, *calls)
        assert world.refusal(grant.refresh_token) == "revoked"
        for result in results[1:]:
            if isinstance(result, Refusal):
                assert result.oauth_error is OAuthError.INVALID_GRANT
            else:
                assert world.refusal(result.refresh_token) == "revoked"


def before_the_write(world, monkeypatch, interruption):
    """Call a function once, between the read and the write of the next refresh."""
    apply = service.Sessions._apply
    left = [interruption]

    def interrupted(*arguments):
        if left:
            left.pop()()
        return apply(*arguments)

    monkeypatch.setattr(service.Sessions, "_apply", interrupted)


@pytest.mark.parametrize("stall", [0, GRACE, 10 * GRACE])
@pytest.mark.parametrize("is_before", [True, False])
def test_refresh_that_stalls_before_its_write_gets_the_token_of_the_winner(
    world, monkeypatch, stall, is_before
):
    """Its token was current when it was presented, however long the lock took."""
    grant = world.sign_in()
    won = []

    def lose():
        world.pass_time(stall if is_before else 0)
        won.append(world.sessions.refresh(grant.refresh_token, "app"))
        world.pass_time(0 if is_before else stall)

    before_the_write(world, monkeypatch, lose)
    stalled = world.sessions.refresh(grant.refresh_token, "app")
    assert stalled.refresh_token == won[0].refresh_token
    assert world.row(grant).counter == 1


@pytest.mark.parametrize("event", ["end", "revocation"])
def test_refresh_that_an_action_overtakes_is_refused(world, monkeypatch, event):
    grant = world.sign_in()

    def overtake():
        if event == "end":
            assert world.sessions.end("ada", grant.family.id)
        else:
            world.raise_epoch()

    before_the_write(world, monkeypatch, overtake)
    assert world.refusal(grant.refresh_token) == {"end": "ended", "revocation": "revoked"}[event]
    assert world.row(grant).counter == 0


def test_refresh_that_loses_twice_is_retried_by_the_client(world, monkeypatch):
    """Not `invalid_grant`: the token is still good."""
    grant = world.sign_in()
    with monkeypatch.context() as patched:
        patched.setattr(service.store, "replace_unchanged", lambda *_: False)
        with pytest.raises(Refusal) as refused:
            world.sessions.refresh(grant.refresh_token, "app")
    assert (refused.value.code, refused.value.retry_after) == (Code.TEMPORARILY_UNAVAILABLE, 1)
    assert world.sessions.refresh(grant.refresh_token, "app").family.counter == 1
