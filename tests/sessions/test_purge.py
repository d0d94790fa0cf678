"""Sessions that give no access are deleted in batches, next to requests."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from testing.runs import purge
from testing.sessions import purge_sessions, sessions_on
from tokensvc.sessions.settings import SessionSettings

SETTINGS = SessionSettings()
DAY = 86400


def test_only_sessions_without_access_are_purged(world):
    """
    A revoked one stays until it would be idle: no action rewrites rows.

    Idle ones stay until the next day.
    """
    idle = world.sign_in()
    world.pass_time(2 * DAY)
    revoked = world.sign_in("bob")
    world.raise_epoch("bob")
    live, ended = world.sign_in(), world.sign_in()
    world.sessions.end("ada", ended.family.id)
    world.pass_time(SETTINGS.idle_ttl - DAY)
    assert purge_sessions(world.database, world.clock) is False
    assert set(world.rows()) == {live.family.id, revoked.family.id}
    assert world.refusal(idle.refresh_token) == "unknown_family"
    assert world.sessions.refresh(live.refresh_token, "app")
    world.pass_time(2 * DAY)
    purge_sessions(world.database, world.clock)
    assert set(world.rows()) == {live.family.id}


def test_expired_session_is_purged_although_it_was_used(world):
    """With an idle lifetime that is the longer one."""
    settings = SessionSettings(absolute_ttl=1000, idle_ttl=5000)
    world.sessions = sessions_on(world.database, world.clock, settings)
    grant = world.sign_in()
    world.pass_time(990)
    world.sessions.refresh(grant.refresh_token, "app")
    world.pass_time(1000 + DAY)
    purge_sessions(world.database, world.clock, settings)
    assert world.rows() == {}


def test_purges_and_refreshes_next_to_each_other_disturb_nothing(world):
    """Two processes purge; every live session advances once."""
    live = [world.sign_in() for _ in range(10)]
    for _ in range(40):
        world.sessions.end("ada", world.sign_in().family.id)

    def purge_all(_):
        while purge_sessions(world.database, world.clock, batch=5):
            pass

    with ThreadPoolExecutor(4) as pool:
        purges = [pool.submit(purge_all, None) for _ in range(2)]
        grants = list(
            pool.map(lambda grant: world.sessions.refresh(grant.refresh_token, "app"), live)
        )
        for done in purges:
            done.result()
    assert {grant.family.counter for grant in grants} == {1}
    assert set(world.rows()) == {grant.family.id for grant in live}


@pytest.mark.slow
def test_running_service_purges_next_to_mints():
    """The short form of `python -m proofs.purge`, without its comparison of times."""
    figures = purge.prove("postgresql", sessions=1_200, seconds=0.5)
    assert figures.works, "\n".join(figures.lines())


def test_delayed_failed_or_missing_mints_fail_the_proof():
    figures = purge.Figures("sqlite", 1, purged=1)
    figures.before.minted(0.01, repeated=False)
    assert not figures.holds
    figures.during.minted(0.02, repeated=False)
    assert figures.holds
    figures.during.minted(0.03, repeated=False)
    assert figures.works
    assert not figures.holds
    figures.during.failed("503")
    assert not figures.works
