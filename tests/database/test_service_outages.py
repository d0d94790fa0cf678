"""The service without its database, or with one that it cannot write."""

import resource
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from testing.database_url import migrated_settings
from testing.postgres import PostgresServer
from testing.response import Response
from testing.runs import stuck
from testing.service import EVERYTHING, NO_LIMITS, STREAM_API_KEY
from testing.waiting import wait_until
from testing.world import minted, running_world
from tokensvc.app.loops import MAX_LOOPS

pytestmark = pytest.mark.slow


@pytest.mark.sec(65)
@pytest.mark.parametrize("name", ["database stopped", "database refuses"])
def test_mints_without_the_database_get_503_and_work_after_its_return(name: str) -> None:
    """A short form of `python -m proofs.stuck`, which also judges the times."""
    (figures,) = stuck.prove([name])
    assert figures.has_expected_states, "\n".join(figures.lines())
    assert figures.logged["database_breaker_opened"] == 1
    assert figures.logged["database_breaker_closed"] == 1


@pytest.mark.sec(65)
def test_mints_go_on_while_the_server_has_no_further_connection() -> None:
    """They wait for the connections of their process, although more requests arrive together."""
    (figures,) = stuck.prove(["database has no connection left"])
    assert figures.has_expected_states, "\n".join(figures.lines())
    assert {probe.status for probe in figures.readyz} == {200}
    assert "database_breaker_opened" not in figures.logged


@pytest.mark.sec(65, 71)
def test_locked_table_does_not_open_the_breaker(
    postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """
    Sign-ins without a credential wait for it in vain, and mints go on as long as they do.

    Before, all threads wait for their reads and for their changes: the process does not open more
    connections than `docs/operations.md` says.
    """
    url = postgres.fresh_url()
    settings = {**migrated_settings(url), **EVERYTHING, **NO_LIMITS}
    with running_world(tmp_path_factory.mktemp("locked"), **settings) as world:
        ada = world.signed_in("ada")
        assert minted(ada).status == 200

        def sign_in(number: int) -> int:
            body = {"user_id": f"unknown-{number}", "password": "a wrong passphrase"}
            return world.anonymous.post("/v1/sessions", json=body).status

        for table in ("revocations", "app_standing", "revocations"):
            wait_together(url, table, ada.post if table == "app_standing" else world.operator.post)
        assert connections(url)[1] <= 8 + MAX_LOOPS
        with psycopg.connect(url) as other, ThreadPoolExecutor(8) as strangers:
            other.execute("LOCK TABLE accounts")
            sent = [strangers.submit(sign_in, number) for number in range(8)]
            assert {one.result() for one in sent} == {503}
            assert minted(ada).status == 200
            other.execute("LOCK TABLE app_standing")
            with ThreadPoolExecutor(8) as pool:
                mints = [pool.submit(ada.post, "/v1/token") for _ in range(8)]
            assert {mint.result().status for mint in mints} == {503}
        assert minted(ada).status == 200
        assert world.log("database_breaker_opened") == []


def wait_together(url: str, table: str, post: Callable[[str], Response]) -> None:
    """Let eight requests wait for a table, then go on."""
    path = "/v1/token" if table == "app_standing" else "/v1/users/bob-{}/revocations"
    with psycopg.connect(url) as other, ThreadPoolExecutor(8) as pool:
        other.execute(f"LOCK TABLE {table}".encode())
        sent = [pool.submit(post, path.format(number)) for number in range(8)]
        wait_until(
            lambda: connections(url)[0] >= 8 or all(one.done() for one in sent), "all threads wait"
        )


def connections(url: str) -> tuple[int, int]:
    """Return how many connections of the service wait for a lock, and how many are open."""
    query = (
        "SELECT count(*) FILTER (WHERE wait_event_type = 'Lock'), count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'tokensvc'"
    )
    with psycopg.connect(url) as connection:
        found: tuple[int, int] = connection.execute(query).fetchall()[0]
        return found


def test_full_disk_fails_only_what_writes(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No file of the worker can grow over 2 MiB, as on a full disk; then it can again."""
    with running_world(tmp_path_factory.mktemp("full")) as world:
        ada = world.signed_in("ada")
        (worker,) = world.service.worker_pids()
        before = resource.prlimit(worker, resource.RLIMIT_FSIZE, (2 * 2**20, -1))
        responses = [world.revoke("bob")]
        while responses[-1].status == 200:
            responses.append(world.revoke("bob"))
        assert (responses[-1].status, responses[-1].code) == (503, "temporarily_unavailable")
        assert ada.post("/v1/token", json={"api_key": STREAM_API_KEY}).status == 200
        assert world.anonymous.get("/readyz").status == 200
        resource.prlimit(worker, resource.RLIMIT_FSIZE, before)
        wait_until(lambda: world.revoke("bob").status == 200, "revocations work again")
