"""The service on a primary and a standby of PostgreSQL, through failovers."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from testing.cluster import ClusterServer, running_cluster
from testing.command_line import run_json
from testing.database_url import migrated_settings
from testing.http_client import Client
from testing.postgres import PostgresServer
from testing.service import Service, running_service
from testing.waiting import wait_until
from testing.world import World, running_world

pytestmark = pytest.mark.slow

BANNED = [f"banned-{number}" for number in range(10)]


@pytest.fixture
def cluster(postgres: PostgresServer) -> Iterator[tuple[ClusterServer, ClusterServer]]:
    with running_cluster(postgres.programs) as servers:
        yield servers


def url_of(*servers: ClusterServer) -> str:
    folders = [str(server.folder).replace("/", "%2F") for server in servers]
    return f"postgresql://postgres@{','.join(folders)}/postgres?target_session_attrs=read-write"


@pytest.fixture
def world(
    cluster: tuple[ClusterServer, ClusterServer], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """Yield a service whose URL names the primary first."""
    with running_world(
        tmp_path_factory.mktemp("failover"), **migrated_settings(url_of(*cluster))
    ) as world:
        yield world


def users_of(world: World, service: Service | None = None) -> dict[str, Client]:
    """Return clients of users who have signed in, by default at the service of the world."""
    base_url = (service or world.service).base_url
    names = ("ada", *BANNED)
    tokens = {name: world.issuer.token(sub=name, auth_time=int(time.time())) for name in names}
    return {
        name: Client(base_url, {"Authorization": f"Bearer {token}"})
        for name, token in tokens.items()
    }


def minting_users_of(world: World) -> dict[str, Client]:
    """Return users, all of whom get tokens."""
    users = users_of(world)
    assert {user.post("/v1/token").status for user in users.values()} == {200}
    return users


def ban(world: World) -> None:
    """Ban the users, on the server that the service uses now."""
    assert {world.suspend(name).status for name in BANNED} == {200}


def statuses_of_banned(users: dict[str, Client]) -> set[int]:
    return {users[name].post("/v1/token").status for name in BANNED}


def wait_until_minting(users: dict[str, Client]) -> None:
    wait_until(lambda: users["ada"].post("/v1/token").status == 200, "mints are back")


@contextmanager
def minting(users: dict[str, Client], statuses: list[int]) -> Iterator[None]:
    """Request tokens for all banned users without a pause until the block ends."""
    stop = threading.Event()

    def mint() -> None:
        while not stop.is_set():
            statuses.extend(statuses_of_banned(users))

    threads = [threading.Thread(target=mint) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_restarted_instance_mints_nothing_from_a_previous_primary_that_was_started_again(
    cluster: tuple[ClusterServer, ClusterServer], world: World
) -> None:
    """The previous primary is the first host of the URL, accepts writes and lacks the bans."""
    old, new = cluster
    users = minting_users_of(world)
    old.wait_for_standby()
    old.kill()
    new.promote()
    wait_until_minting(users)
    ban(world)
    old.start()
    found = world.wait_for_check("database_servers", "degraded")
    assert "two primaries" in found["detail"]
    assert str(old.folder) in found["detail"]
    assert len(world.log("database_two_primaries")) == 1
    assert statuses_of_banned(users) == {403}
    with running_service(world.folder, **world.settings) as restarted:
        others = users_of(world, restarted)
        assert others["ada"].post("/v1/token").status == 200
        assert statuses_of_banned(others) == {403}
    new.kill()
    world.wait_for_check("database", "failed")
    assert statuses_of_banned(users) == {503}
    assert users["ada"].post("/v1/token").status == 503


def test_frozen_primary_is_left_after_the_promotion_and_ignored_when_it_wakes(
    cluster: tuple[ClusterServer, ClusterServer], world: World
) -> None:
    old, new = cluster
    users = minting_users_of(world)
    old.wait_for_standby()
    old.signal(signal.SIGSTOP)
    new.promote()
    wait_until_minting(users)
    ban(world)
    statuses: list[int] = []
    with minting(users, statuses):
        old.signal(signal.SIGCONT)
        world.wait_for_check("database_servers", "degraded")
        wait_until(lambda: len(statuses) > 100, "mints on both sides of the look")
    assert set(statuses) == {403}


def test_two_servers_that_accept_writes_under_load_give_no_token_to_banned_users(
    cluster: tuple[ClusterServer, ClusterServer], world: World
) -> None:
    """The service follows the promotion, although nothing has failed."""
    old, new = cluster
    users = minting_users_of(world)
    old.wait_for_standby()
    before: list[int] = []
    with minting(users, before):
        new.promote()
        world.wait_for_check("database_servers", "degraded")
    assert set(before) == {200}
    ban(world)
    after: list[int] = []
    with minting(users, after):
        wait_until(lambda: len(after) > 100, "mints after the bans")
    assert set(after) == {403}


def test_lease_ends_on_a_primary_whose_synchronous_standby_was_promoted(
    cluster: tuple[ClusterServer, ClusterServer], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The instance knows only this server, where reads still succeed. Another one has the bans."""
    old, new = cluster
    old.require_standby()
    settings = {**migrated_settings(url_of(old)), "TOKENSVC_DATABASE__LEASE": "3"}
    with running_world(tmp_path_factory.mktemp("lease"), **settings) as world:
        users = minting_users_of(world)
        new.promote()
        check = world.wait_for_check("database", "failed")
        assert "database.lease" in check["detail"]
        elsewhere = {**world.settings, "TOKENSVC_DATABASE_URL": url_of(new)}
        with running_service(world.folder, **elsewhere) as other:
            operator = Client(other.base_url, world.operator._headers)
            bans = [operator.request("PUT", f"/v1/users/{name}/suspension") for name in BANNED]
            assert {ban.status for ban in bans} == {200}
            assert statuses_of_banned(users_of(world, other)) == {403}
        assert statuses_of_banned(users) == {503}
        assert world.suspend("ada").status == 503
        with old.connection() as connection:
            assert connection.execute("SELECT count(*) FROM user_standings").fetchall()


def test_printed_dump_line_dumps_the_primary_that_stands_behind_a_standby(
    cluster: tuple[ClusterServer, ClusterServer], postgres: PostgresServer, tmp_path: Path
) -> None:
    """The standby, which is the first host, lacks the ban."""
    primary, standby = cluster
    settings = migrated_settings(url_of(standby, primary))
    settings["PATH"] = f"{postgres.programs}{os.pathsep}{os.environ['PATH']}"
    primary.wait_for_standby()
    with standby.connection() as connection:
        connection.execute("SELECT pg_wal_replay_pause()")
    run_json(tmp_path, "users", "suspend", BANNED[0], **settings)
    backup = tmp_path / "backup"
    line = run_json(tmp_path, "backup", str(backup), **settings)["command"]
    subprocess.run(line, shell=True, check=True, env=settings)
    assert run_json(tmp_path, "backup", str(backup), **settings)
    restore = [postgres.programs / "pg_restore", "--table=user_standings", "--file=-", backup]
    assert BANNED[0] in subprocess.run(restore, check=True, capture_output=True, text=True).stdout
