"""Refreshes from other networks and addresses, over HTTP behind a proxy."""

import re

import pytest
import sqlalchemy as sa

from testing.account_world import running_account_world
from testing.sessions import HASHES, make_older
from tests.sign_in.passwords_over_http import METRICS, PasswordServiceWorld
from tokensvc.accounts.lock_out.rules import KNOWN_ADDRESSES, LOCK_AFTER, CounterKind
from tokensvc.accounts.lock_out.tables import known_addresses, sign_in_failures

DAY = 86400
HOME, NEIGHBOUR, CAFE = "192.0.2.1", "192.0.2.250", "198.51.100.7"
HOME6, OTHER_ROOM6, CAFE6 = "2001:db8:1:2::1", "2001:db8:1:ffff::1", "2001:db8:2:2::1"
PROXY = {"TOKENSVC_PROXIES__TRUSTED": '["127.0.0.1/32"]'}


class NetworkWorld(PasswordServiceWorld):
    """A service behind a proxy, which names the address of each client."""

    def sign_in_at(self, address, user_id):
        return self.sign_in(user_id, headers={"X-Forwarded-For": address})

    def refresh_at(self, address, token):
        form = {"grant_type": "refresh_token", "refresh_token": token}
        return self.oauth(form, headers={"X-Forwarded-For": address})

    def rotated(self, user_id, address):
        """Sign in and refresh, and return the refresh tokens."""
        self.create(user_id)
        first = self.sign_in_at(address, user_id).json["refresh_token"]
        return first, self.refresh_at(address, first).json["refresh_token"]

    def details(self, user_id, action):
        """Return the details of events without the session, which each must have."""
        found = [event["details"] for event in self.events(user_id, action)]
        assert all(re.fullmatch("[0-9a-f]{32}", details.pop("session")) for details in found)
        return found

    def events_counted(self, action, outcome):
        text = self.anonymous.get("/metrics", headers=METRICS).text
        line = rf'tokensvc_actions_total{{action="{action}",outcome="{outcome}"}} (\d+)'
        found = re.search(line, text)
        return float(found[1]) if found else 0

    def pass_days(self, days):
        """Make all sessions and known addresses older."""
        make_older(self.database, days * DAY)
        time = known_addresses.c.last_signed_in_at
        with self.database.write() as tx:
            tx.execute(known_addresses.update().values(last_signed_in_at=time - days * DAY))

    def known(self, user_id):
        query = sa.select(known_addresses).where(known_addresses.c.user_id == user_id)
        with self.database.read() as connection:
            rows = connection.execute(query).all()
        return {row.address_hash: row.last_signed_in_at for row in rows}

    def stop(self, user_id):
        """Stop an account by failures at unknown addresses."""
        row = {
            "subject": HASHES.of_user_id(user_id),
            "kind": CounterKind.SHARED,
            "of_account": True,
        }
        stop = {"failures": LOCK_AFTER[CounterKind.SHARED], "last_failed_at": 0}
        with self.database.write() as tx:
            tx.execute(sign_in_failures.insert(), row | stop)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Yield one service. Each test uses its own users."""
    folder = tmp_path_factory.mktemp("service")
    with running_account_world(folder, NetworkWorld, **PROXY) as world:
        yield world


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def either_world(request):
    if request.param == "sqlite":
        yield request.getfixturevalue("world")
        return
    folder = request.getfixturevalue("tmp_path_factory").mktemp("postgresql")
    url = request.getfixturevalue("postgres").migrated_url()
    settings = PROXY | {"TOKENSVC_DATABASE_URL": url}
    with running_account_world(folder, NetworkWorld, **settings) as world:
        yield world


@pytest.mark.sec(27, 59)
@pytest.mark.parametrize(("home", "elsewhere"), [(HOME, CAFE), (HOME6, CAFE6), (HOME, CAFE6)])
def test_predecessor_from_another_network_is_audited_and_counted(world, home, elsewhere):
    """A thief who presents it in each window is visible."""
    user_id = f"ada-{home}-{elsewhere}".replace(".", "-").replace(":", "-")
    counted = world.events_counted("session:predecessor_used", "ok")
    predecessor, current = world.rotated(user_id, home)
    assert world.refresh_at(elsewhere, predecessor).json["refresh_token"] == current
    assert world.details(user_id, "session:predecessor_used") == [{}]
    assert world.events_counted("session:predecessor_used", "ok") == counted + 1


@pytest.mark.sec(27, 28)
def test_predecessor_from_another_network_ends_the_session_once_its_successor_was_used(
    either_world,
):
    world = either_world
    predecessor, current = world.rotated("ben", HOME)
    assert world.refresh_at(HOME, current).json["refresh_token"] == current
    assert world.refresh_at(HOME, predecessor).json["refresh_token"] == current
    assert world.refresh_at(CAFE, predecessor).json["error"] == "invalid_grant"
    assert world.refresh_at(HOME, current).json["error"] == "invalid_grant"
    assert world.details("ben", "session:replayed") == [{"cause": "elsewhere"}]
    assert world.details("ben", "session:predecessor_used") == []


@pytest.mark.sec(30)
@pytest.mark.parametrize(("home", "neighbour"), [(HOME, NEIGHBOUR), (HOME6, OTHER_ROOM6)])
def test_second_tab_with_another_address_of_the_network_converges(world, home, neighbour):
    user_id = f"kim-{home}".replace(".", "-").replace(":", "-")
    predecessor, current = world.rotated(user_id, home)
    for token in (current, predecessor):
        assert world.refresh_at(neighbour, token).json["refresh_token"] == current
    assert world.details(user_id, "session:predecessor_used") == []


@pytest.mark.sec(42)
def test_address_that_refreshed_stays_known_for_thirty_days(either_world):
    """A guesser cannot lock a user out who signed in long ago and uses the app."""
    world = either_world
    world.create("joe")
    token = world.sign_in_at(HOME, "joe").json["refresh_token"]
    world.pass_days(20)
    assert world.refresh_at(HOME, token).status == 200
    world.pass_days(20)
    world.stop("joe")
    assert world.sign_in_at(CAFE, "joe").status == 429
    assert world.sign_in_at(HOME, "joe").status == 200


@pytest.mark.sec(42)
def test_address_where_only_a_session_was_refreshed_is_known(world):
    world.create("max")
    token = world.sign_in_at(HOME, "max").json["refresh_token"]
    assert world.refresh_at(CAFE, token).status == 200
    world.stop("max")
    assert world.sign_in_at(CAFE, "max").status == 200


def test_known_address_is_written_once_a_day(either_world):
    """For all sessions of the account together."""
    world = either_world
    world.create("roy")
    tokens = [world.sign_in_at(HOME, "roy").json["refresh_token"] for _ in range(2)]
    (signed_in_at,) = world.known("roy").values()
    world.pass_days(1)
    assert world.refresh_at(HOME, tokens[0]).status == 200
    (renewed_at,) = world.known("roy").values()
    assert renewed_at >= signed_in_at
    later = renewed_at + 1  # another write would set the present time again
    with world.database.write() as tx:
        tx.execute(known_addresses.update().values(last_signed_in_at=later))
    assert world.refresh_at(HOME, tokens[1]).status == 200
    assert list(world.known("roy").values()) == [later]


def test_refresh_at_a_new_address_displaces_no_known_one(world):
    """A phone that travels does not make the user's home unknown."""
    world.create("amy")
    homes = [f"192.0.{number}.1" for number in range(KNOWN_ADDRESSES)]
    tokens = [world.sign_in_at(home, "amy").json["refresh_token"] for home in homes]
    known = world.known("amy")
    assert world.refresh_at(CAFE, tokens[0]).status == 200
    assert world.known("amy") == known
    world.pass_days(31)
    fresh = world.sign_in_at(homes[0], "amy").json["refresh_token"]
    assert world.refresh_at(CAFE, fresh).status == 200
    assert HASHES.of_address(CAFE) in world.known("amy")
