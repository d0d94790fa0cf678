"""What a refresh writes."""

import random

import pytest

from testing.account_world import running_account_world
from testing.sessions import open_session, sessions_on
from testing.waiting import wait_until
from tests.sign_in.passwords_over_http import METRICS, PasswordServiceWorld
from tokensvc.core.clock import system_clock
from tokensvc.database.engine import Database

SESSIONS = 600
_UPDATES = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'sessions'"


@pytest.fixture
def database(migrated_postgres_url):
    database = Database.open(migrated_postgres_url, pool_size=1)
    yield database
    database.close()


def updates(database):
    """Return the number of updates of sessions, and of those that wrote no index."""
    with database.read() as connection:
        connection.exec_driver_sql("SELECT pg_stat_force_next_flush()")
        return tuple(connection.exec_driver_sql(_UPDATES).one())


def test_refreshes_write_no_index(database):
    """The updates are HOT, also the first one of a page: `fillfactor` leaves space for it."""
    sessions = sessions_on(database, system_clock, audits_refreshes=False)
    with database.write() as tx:
        grants = [open_session(tx, sessions, f"user-{number}") for number in range(SESSIONS)]
    random.Random(1).shuffle(grants)
    for grant in grants:
        sessions.refresh(grant.refresh_token, "app")
    database._disconnect()  # a session reports its statistics at its end
    wait_until(lambda: updates(database)[0] >= SESSIONS, "the statistics have all updates")
    made, hot = updates(database)
    assert hot >= 0.98 * made


@pytest.mark.sec(59)
@pytest.mark.parametrize(("refreshes", "events"), [(None, 0), ("irregular", 0), ("all", 1)])
def test_life_of_a_session_is_audited_and_its_rotations_if_the_setting_says_so(
    tmp_path, refreshes, events
):
    """The metric counts them in either case."""
    settings = {} if refreshes is None else {"TOKENSVC_AUDIT__REFRESHES": refreshes}
    with running_account_world(tmp_path, PasswordServiceWorld, **settings) as world:
        world.create("ada")
        grant = world.sign_in("ada").json
        assert world.refresh(grant["refresh_token"]).status == 200
        user = world.with_token(grant["access_token"])
        assert user.request("DELETE", "/v1/sessions/current").status == 204
        assert len(world.events("ada", "account:signed_in")) == 1
        assert len(world.events("ada", "session:refreshed")) == events
        assert len(world.events("ada", "session:ended")) == 1
        counted = 'tokensvc_actions_total{action="session:refreshed",outcome="ok"} 1.0'
        assert counted in world.anonymous.get("/metrics", headers=METRICS).text
