"""How usage gets into the database, on both kinds, and on a running service."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from testing.http_client import Client
from testing.service import running_service
from testing.service_clients import OPERATOR, basic, make_client, refusal_of
from tests.upkeep.conftest import Worker
from tokensvc.clients.administration import ClientAdministration
from tokensvc.clients.service import Clients
from tokensvc.clients.store import note_uses
from tokensvc.core.clock import system_clock
from tokensvc.core.errors import Code, Refusal
from tokensvc.database.engine import Database
from tokensvc.database.tables import unnamed_mints
from tokensvc.keys.store import unnamed_mints_since
from tokensvc.upkeep import loop


@pytest.mark.sec(47)
def test_a_use_is_written_to_the_minute(worker: Worker) -> None:
    """Of the secret that was used, and of no other."""
    administration = ClientAdministration(worker.database, worker.clock)
    added = administration.add_secret("svc.backend", grantor=OPERATOR)
    worker.clock.now = 1_800_000_100.0
    worker.usage.secret_used(added.id)
    worker.upkeep.write_usage()
    assert worker.last_used() == {worker.secret_id: None, added.id: 1_800_000_060}


@pytest.mark.sec(47)
def test_a_newer_figure_is_not_overwritten(worker: Worker) -> None:
    """Workers write in any order; the latest use of all of them stays."""
    for now, expected in ((600, 600), (540, 600), (660, 660)):
        worker.clock.now = 1_800_000_000.0 + now
        worker.usage.secret_used(worker.secret_id)
        worker.upkeep.write_usage()
        assert worker.last_used() == {worker.secret_id: 1_800_000_000 + expected}


def test_counts_of_workers_add_up(worker: Worker) -> None:
    """Each adds its own, hour by hour."""
    other_usage, other_upkeep = worker.another()
    for usage, times in ((worker.usage, 2), (other_usage, 3)):
        for _ in range(times):
            usage.minted_unnamed()
    worker.clock.now += 3600
    other_usage.minted_unnamed()
    worker.upkeep.write_usage()
    other_upkeep.write_usage()
    with worker.database.read() as connection:
        rows = connection.execute(sa.select(unnamed_mints).order_by(unnamed_mints.c.hour)).all()
    assert [tuple(row) for row in rows] == [(1_800_000_000, 5), (1_800_003_600, 1)]


def test_the_use_of_a_deleted_secret_is_forgotten(worker: Worker) -> None:
    """It keeps nothing else from being written."""
    worker.usage.secret_used("sec_gone")
    worker.usage.secret_used(worker.secret_id)
    worker.usage.minted_unnamed()
    worker.upkeep.write_usage()
    assert worker.last_used() == {worker.secret_id: 1_800_000_000}
    assert worker.unnamed() == 1


@pytest.mark.parametrize("broken", ["note_uses", "add_unnamed_mints"])
def test_a_failing_database_loses_nothing(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """What could not be written is written the next time, once, with what has come since."""

    def fails(*_: object) -> None:
        raise Refusal(Code.TEMPORARILY_UNAVAILABLE, "gone")

    worker.usage.secret_used(worker.secret_id)
    worker.usage.minted_unnamed()
    with monkeypatch.context() as patched:
        patched.setattr(loop, broken, fails)
        refusal_of(worker.upkeep.write_usage)
        assert worker.last_used() == {worker.secret_id: None}
        assert worker.unnamed() == 0
    worker.usage.minted_unnamed()
    worker.upkeep.write_usage()
    worker.upkeep.write_usage()
    assert worker.last_used() == {worker.secret_id: 1_800_000_000}
    assert worker.unnamed() == 2


def test_nothing_used_writes_nothing(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle worker leaves the database alone."""
    monkeypatch.setattr(Database, "write", None)
    worker.upkeep.write_usage()


def test_writers_do_not_wait_for_each_other_in_a_circle(worker: Worker) -> None:
    """
    All lock clients before their secrets, and in one order: nobody is sent away as a deadlock.

    The second writer names the secrets the other way round, while the first has one of them.
    """
    first, second = (make_client(worker.database, name, "tokens:mint") for name in ("one", "two"))
    one, two = first.secret.id, second.secret.id

    def write_both() -> None:
        with worker.database.write() as tx:
            note_uses(tx, {two: 120, one: 120})

    with ThreadPoolExecutor(1) as pool:
        with worker.database.write() as tx:
            note_uses(tx, {one: 60})
            other = pool.submit(write_both)
            _wait_until_it_waits(worker.database)
            note_uses(tx, {two: 180})
        other.result()
    seen = worker.last_used()
    assert (seen[one], seen[two]) == (120, 180)


def _wait_until_it_waits(database: Database) -> None:
    """Wait until another transaction waits for a lock; on SQLite it cannot even begin."""
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype <> 'virtualxid'"
    for _ in range(1000 if database.dialect == "postgresql" else 0):
        with database.read() as connection:
            if connection.exec_driver_sql(waiting).scalar():
                return
        time.sleep(0.005)
    assert database.dialect == "sqlite", "nobody waits"


@pytest.mark.sec(47)
def test_a_stopped_service_has_written_what_was_used(tmp_path: Path) -> None:
    """The secrets and the mints of the last minute, by every worker, at a graceful stop."""
    with running_service(tmp_path, TOKENSVC_WORKERS="2") as service:
        database = Database.open(f"sqlite:///{tmp_path / 'tokensvc.db'}", pool_size=1)
        used = make_client(database, "used", "tokens:mint")
        make_client(database, "idle", "tokens:mint")
        client = Client(service.base_url, basic(used))
        before = int(system_clock())
        for _ in range(12):
            assert client.post("/v1/token", json={"user_id": "john"}).status == 200
        named = {"user_id": "john", "api_key": "test-api-key"}
        assert client.post("/v1/token", json=named).status == 200
    clients = Clients(database, system_clock).page()
    seen = {client.name: client.secrets[0].last_used_at for client in clients}
    with database.read() as connection:
        assert unnamed_mints_since(connection, 0) == 12
    database.close()
    assert seen["idle"] is None
    assert seen["used"] is not None
    assert seen["used"] % 60 == 0
    assert before - 60 < seen["used"] <= system_clock()
