"""PgBouncer in transaction mode: each transaction, and each read, may use another session."""

import contextlib
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from testing.database_parts import breaker_of, idle_connections
from testing.pgbouncer import OTHER, TRACKING, pooled
from testing.postgres import PostgresServer
from testing.service import free_port
from testing.waiting import wait_until
from testing.world import World, claims, minted, running_world
from tokensvc.core.errors import Refusal
from tokensvc.database import postgresql_statements, schema
from tokensvc.database.breaker import MAX_FAILURES
from tokensvc.database.engine import Database
from tokensvc.database.statements import run
from tokensvc.standing.tables import app_standing
from tokensvc.vault.vault import Vault

THREADS = 8
"""More than the pooler's connections, so that each thread gets sessions of others."""


@pytest.fixture(params=["tracking", "other"])
def program(request: pytest.FixtureRequest) -> str:
    """Run a test with a pooler that keeps track of prepared statements, and with another."""
    found = TRACKING if request.param == "tracking" else OTHER
    if found is None and not os.environ.get("CI"):
        pytest.skip("PgBouncer is not installed (see .ci/run)")
    assert found is not None
    return found


@pytest.fixture
def pooled_url(program: str, postgres: PostgresServer) -> Iterator[str]:
    with pooled(program, postgres.migrated_url(), connections=2) as url:
        yield url


@pytest.fixture
def pooled_database(pooled_url: str) -> Iterator[Database]:
    database = Database.open(pooled_url, pool_size=THREADS)
    yield database
    database.close()


def test_reads_changes_and_transactions_share_sessions(
    program: str, pooled_database: Database
) -> None:
    """A statement that one session has prepared may be missing in another: nothing fails."""
    database = pooled_database
    read = sa.select(sa.literal(1).label("one"), sa.bindparam("two", type_=sa.Integer))
    update = app_standing.update().values(floor=sa.bindparam("new"))
    update = update.returning(app_standing.c.floor)
    count = app_standing.update().values(epoch=app_standing.c.epoch + 1)

    def work(number: int) -> int:
        for _ in range(20):
            assert database.fetch(read, {"two": number}) == [(1, number)]
            assert database.change(update, {"new": number}) == [(number,)]
            with database.write() as tx:
                run(tx, count)
                assert run(tx, read, {"two": number}) == [(1, number)]
                run(tx, count)
                assert tx.scalar(sa.select(sa.literal(number))) == number
        return number

    with ThreadPoolExecutor(THREADS) as pool:
        assert sorted(pool.map(work, range(THREADS))) == list(range(THREADS))
    assert database.fetch(sa.select(app_standing.c.epoch)) == [(2 * 20 * THREADS,)]
    connection: Any = idle_connections(database)[0]
    assert connection.preparation.is_possible == (program == TRACKING)
    assert not connection.is_direct
    assert breaker_of(database).failures == 0


@pytest.mark.parametrize("program", ["tracking"], indirect=True)
def test_refused_statement_is_no_failure_of_the_database(pooled_database: Database) -> None:
    """PgBouncer closes the connection of a client that uses a statement that it does not know."""
    database, query = pooled_database, sa.select(app_standing.c.floor)
    for _ in range(MAX_FAILURES + 1):
        assert database.fetch(query) == [(0,)]
        connection: Any = idle_connections(database)[0]
        connection.preparation.is_possible = True
        connection.prepared.add(postgresql_statements.compiled(query).name)
        connection.execute("DEALLOCATE ALL")
        assert database.fetch(query) == [(0,)]
        assert connection.closed
        assert not connection.preparation.is_possible
    assert breaker_of(database).failures == 0


def test_transaction_leaves_no_setting_in_the_session(pooled_database: Database) -> None:
    """Another client of the pooler keeps its own timeouts."""
    names = ["statement_timeout", "lock_timeout", "synchronous_commit"]
    shown = sa.select(*(sa.func.current_setting(name) for name in names))
    with pooled_database.read() as connection:
        before = connection.execute(shown).one()
    with pooled_database.write() as tx:
        assert tx.execute(shown).one() != before
    with pooled_database.read() as connection:
        for _ in range(5):
            assert connection.execute(shown).one() == before


def test_only_one_migration_runs_behind_a_pooler(program: str, postgres_url: str) -> None:
    """Its lock belongs to the transaction."""
    with pooled(program, postgres_url, connections=2) as url:
        databases = [Database.open(url, pool_size=1) for _ in range(2)]
        with ThreadPoolExecutor(2) as pool:
            applied = list(pool.map(schema.migrate, databases))
        for database in databases:
            database.close()
    assert sorted(map(len, applied)) == [0, len(schema._REVISIONS)]


@pytest.fixture
def world(
    pooled_url: str, pooled_database: Database, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    settings = {
        "TOKENSVC_DATABASE_URL": pooled_url,
        "TOKENSVC_ENCRYPTION_KEYS": json.dumps([Vault.generate_key()]),
        "TOKENSVC_WORKERS": "2",
        "TOKENSVC_ACCOUNTS__ENABLED": "true",
    }
    with running_world(tmp_path_factory.mktemp("pgbouncer"), **settings) as running:
        yield running


def test_sign_ins_of_unknown_users_leave_the_service_usable(world: World) -> None:
    """As the first requests of a process."""
    ada = world.signed_in("ada")
    unknown = {"user_id": "unknown", "password": "a wrong passphrase"}
    for _ in range(2 * MAX_FAILURES):
        assert world.anonymous.post("/v1/sessions", json=unknown).status in {401, 429}
    assert minted(ada).status == 200


def test_reads_are_refused_without_the_pooler_and_work_after_its_return(
    program: str, postgres: PostgresServer
) -> None:
    """The connections that it has cut are replaced."""
    url, port = postgres.migrated_url(), free_port()
    with pooled(program, url, connections=2, port=port) as pooled_url:
        database = Database.open(pooled_url, pool_size=2)
        assert schema.status(database) == "current"
    with pytest.raises(Refusal) as refused:
        schema.status(database)
    assert refused.value.code == "temporarily_unavailable"
    with pooled(program, url, connections=2, port=port):
        wait_until(lambda: is_read(database), "reads work again")
    database.close()


def is_read(database: Database) -> bool:
    with contextlib.suppress(Refusal):
        return schema.status(database) == "current"
    return False


def test_service_mints_and_revokes_behind_a_pooler(world: World) -> None:
    """Stream gets the revocation, and a command sees it."""
    ada = world.signed_in("ada")
    with ThreadPoolExecutor(THREADS) as pool:
        statuses = list(pool.map(lambda _: minted(ada).status, range(100)))
    assert statuses == [200] * 100
    world.make_stream_user("ada")
    revoked = world.revoke("ada", headers={"Prefer": "wait=10"}).json
    assert revoked["stream"]["state"] == "applied"
    assert ada.post("/v1/token").code == "sign_in_required"
    assert claims(minted(world.vouching, user_id="ada"))["iat"] >= revoked["tokens_valid_after"]
    wait_until(lambda: world.readiness()[1]["status"] == "ok", "the next look")
    shown = world.command("users", "show", "ada", "--json").json
    assert shown["tokens_valid_after"] == revoked["tokens_valid_after"]
