"""What happens between the read and the write of a refresh, on SQLite and PostgreSQL."""

import pytest

from tokensvc.core.errors import Code, Refusal
from tokensvc.sessions import service
from tokensvc.sessions.settings import SessionSettings

GRACE = SessionSettings().reuse_grace


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


def test_refresh_that_two_rotations_overtake_gets_the_current_token(world, monkeypatch):
    """With a short `reuse_grace`, both can happen while it waits for a lock."""
    grant = world.sign_in()
    won = [grant]

    def lose():
        for _ in range(2):
            won.append(world.sessions.refresh(won[-1].refresh_token, "app"))
            world.pass_time(GRACE)

    before_the_write(world, monkeypatch, lose)
    stalled = world.sessions.refresh(grant.refresh_token, "app")
    assert stalled.refresh_token == won[-1].refresh_token
    assert (world.row(grant).counter, world.row(grant).ended_at) == (2, None)


def test_replay_that_a_rotation_overtakes_ends_the_session(world, monkeypatch):
    grant = world.sign_in()
    latest = world.sessions.refresh(grant.refresh_token, "app")
    world.pass_time(GRACE)
    before_the_write(
        world, monkeypatch, lambda: world.sessions.refresh(latest.refresh_token, "app")
    )
    assert world.refusal(grant.refresh_token) == "replayed_stale"
    assert world.row(grant).ended_at is not None


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
        patched.setattr(service.Sessions, "_apply", lambda *_: False)
        with pytest.raises(Refusal) as refused:
            world.sessions.refresh(grant.refresh_token, "app")
    assert (refused.value.code, refused.value.retry_after) == (Code.TEMPORARILY_UNAVAILABLE, 1)
    assert world.sessions.refresh(grant.refresh_token, "app").family.counter == 1
