"""PgBouncer in transaction mode: each transaction, and each read, may use another session."""

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from testing.pgbouncer import PROGRAM, pooled
from testing.postgres import PostgresServer
from testing.waiting import wait_until
from testing.world import World, claims, minted, running_world
from tokensvc.database import schema
from tokensvc.database.engine import Database
from tokensvc.database.tables import app_standing
from tokensvc.keys.vault import Vault

pytestmark = pytest.mark.skipif(
    PROGRAM is None and not os.environ.get("CI"),
    reason="PgBouncer is not installed (Debian: apt-get install pgbouncer)",
)

THREADS = 8
"""More than the pooler's connections, so that each thread gets sessions of others."""


@pytest.fixture
def pooled_url(postgres: PostgresServer) -> Iterator[str]:
    with pooled(postgres.fresh_url(), connections=2) as url:
        yield url


@pytest.fixture
def pooled_database(pooled_url: str) -> Iterator[Database]:
    database = Database.open(pooled_url, pool_size=THREADS)
    schema.migrate(database)
    yield database
    database.close()


def test_prepared_reads_and_transactions_share_sessions(pooled_database: Database) -> None:
    """A statement that one session has prepared may be missing in another."""
    now = sa.select(sa.literal(1).label("one"), sa.bindparam("two", type_=sa.Integer))
    read = pooled_database.prepare(now)
    private = pooled_database.prepare(now, private=True)
    floor = app_standing.update().values(floor=sa.bindparam("new"))
    write = pooled_database.prepare_writes(floor.returning(app_standing.c.floor))

    def work(number: int) -> int:
        for _ in range(20):
            assert read.fetch({"two": number}) == (1, number)
            assert private.fetch({"two": number}) == (1, number)
            assert write.fetch({"new": number}) == (number,)
            with pooled_database.write() as tx:
                assert tx.scalar(sa.select(sa.literal(number))) == number
        return number

    with ThreadPoolExecutor(THREADS) as pool:
        assert sorted(pool.map(work, range(THREADS))) == list(range(THREADS))


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


def test_only_one_migration_runs_behind_a_pooler(pooled_url: str) -> None:
    """Its lock belongs to the transaction."""
    databases = [Database.open(pooled_url, pool_size=1) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        applied = list(pool.map(schema.migrate, databases))
    assert sorted(map(len, applied)) == [0, len(schema._REVISIONS)]
    for database in databases:
        database.close()


@pytest.fixture
def world(
    pooled_url: str, pooled_database: Database, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    settings = {
        "TOKENSVC_DATABASE_URL": pooled_url,
        "TOKENSVC_ENCRYPTION_KEYS": json.dumps([Vault.generate_key()]),
        "TOKENSVC_WORKERS": "2",
    }
    with running_world(tmp_path_factory.mktemp("pgbouncer"), **settings) as running:
        yield running


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
