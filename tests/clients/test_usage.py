"""Last use of secrets: in memory until it is written."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import SimpleNamespace

import pytest

from testing.http_client import Client
from testing.lock_waits import wait_until_blocked
from testing.service import running_service
from testing.service_clients import OPERATOR, basic, make_client, refusal_of
from tokensvc.clients.service import Clients, pending_uses, record_use
from tokensvc.clients.store import note_uses
from tokensvc.core.clock import system_clock
from tokensvc.core.errors import Code, Refusal
from tokensvc.database.engine import Database
from tokensvc.stream.keys.store import unnamed_mints_since

START = 1_800_000_000


@pytest.fixture
def usage(database, clock):
    uses = pending_uses(database)
    return SimpleNamespace(record=partial(record_use, uses, clock), write=uses.write, pending=uses)


@pytest.fixture
def secret_id(database, clock):
    return make_client(database, "backend", "tokens:mint", clock=clock).secrets[0].id


def last_used(database):
    clients = Clients(database, system_clock).page()
    return {secret.id: secret.last_used_at for client in clients for secret in client.secrets}


@pytest.mark.sec(47)
def test_use_is_dated_by_its_minute(database, usage, clock, secret_id, administration):
    added = administration.add_secret("svc.backend", administrator=OPERATOR)
    clock.now = START + 119.9
    usage.record(added.id)
    usage.write()
    assert last_used(database) == {secret_id: None, added.id: START + 60}


@pytest.mark.sec(47)
def test_later_use_written_by_another_worker_stays(database, usage, clock, secret_id):
    for seconds, expected in ((600, 600), (540, 600), (660, 660)):
        clock.now = START + seconds
        usage.record(secret_id)
        usage.write()
        assert last_used(database) == {secret_id: START + expected}


def test_use_of_a_deleted_secret_is_skipped(database, usage, secret_id):
    usage.record("sec_gone")
    usage.record(secret_id)
    usage.write()
    assert last_used(database) == {secret_id: START}


def test_failed_write_is_repeated_with_later_uses(
    database, usage, secret_id, administration, monkeypatch
):
    added = administration.add_secret("svc.backend", administrator=OPERATOR)

    def fail(*_):
        usage.record(added.id)
        raise Refusal(Code.TEMPORARILY_UNAVAILABLE, "gone")

    usage.record(secret_id)
    with monkeypatch.context() as patched:
        patched.setattr(usage.pending, "_write_rows", fail)
        refusal_of(usage.write)
    assert last_used(database) == {secret_id: None, added.id: None}
    usage.write()
    assert last_used(database) == {secret_id: START, added.id: START}


def test_use_during_a_write_is_written_next(database, usage, clock, secret_id, monkeypatch):
    def use_again(tx, uses):
        note_uses(tx, uses)
        clock.now = START + 60
        usage.record(secret_id)

    usage.record(secret_id)
    with monkeypatch.context() as patched:
        patched.setattr(usage.pending, "_write_rows", use_again)
        usage.write()
    assert last_used(database) == {secret_id: START}
    usage.write()
    assert last_used(database) == {secret_id: START + 60}


def test_nothing_new_opens_no_transaction(usage, secret_id, monkeypatch):
    usage.record(secret_id)
    usage.write()
    monkeypatch.setattr(Database, "write", None)
    usage.write()


def test_writers_do_not_deadlock(database):
    """
    Each locks the clients, in one order, before their secrets.

    The second writer names the secrets in another order while the first holds one of them.
    """
    one, two = (make_client(database, name, "tokens:mint").secrets[0].id for name in ("one", "two"))

    def write_both():
        with database.write() as tx:
            note_uses(tx, {two: 120, one: 120})

    with ThreadPoolExecutor(1) as pool:
        with database.write() as tx:
            note_uses(tx, {one: 60})
            second = pool.submit(write_both)
            wait_until_blocked(database)
            note_uses(tx, {two: 180})
        second.result()
    assert last_used(database) == {one: 120, two: 180}


@pytest.mark.sec(47)
def test_stopped_service_has_written_uses_and_unnamed_mints(tmp_path):
    """Every worker writes those of the last minute at a graceful stop."""
    with running_service(tmp_path, TOKENSVC_WORKERS="2") as service:
        database = Database.open(f"sqlite:///{tmp_path / 'tokensvc.db'}", pool_size=1)
        used = make_client(database, "used", "tokens:mint")
        idle = make_client(database, "idle", "tokens:mint")
        client = Client(service.base_url, basic(used))
        before = int(system_clock())
        for _ in range(12):
            assert client.post("/v1/token", json={"user_id": "john"}).status == 200
        named = {"user_id": "john", "api_key": "test-api-key"}
        assert client.post("/v1/token", json=named).status == 200
    times = last_used(database)
    with database.read() as connection:
        assert unnamed_mints_since(connection, 0) == 12
    database.close()
    assert times[idle.secrets[0].id] is None
    assert before - 60 < times[used.secrets[0].id] <= system_clock()
