"""How the services of built-in accounts are built and run."""

import os

import pytest
import sqlalchemy as sa

from testing.service import settings_environ
from testing.waiting import wait_until
from tokensvc.accounts.lock_out.tables import sign_in_failures
from tokensvc.accounts.tables import accounts
from tokensvc.app import startup
from tokensvc.app.process import Process
from tokensvc.clients.tables import service_clients
from tokensvc.config.loader import load


@pytest.fixture
def build(tmp_path):
    """Yield a function that builds services with accounts."""
    built = []

    def build(**settings):
        environ = settings_environ(tmp_path, TOKENSVC_ACCOUNTS__ENABLED="true", **settings)
        settings = load(environ)
        startup.create_database(settings)
        built.append(startup.prepare(settings))
        return built[-1]

    yield build
    for services in built:
        services.close()


@pytest.mark.sec(43)
@pytest.mark.parametrize(
    ("cores", "workers", "hashing"), [(2, 1, 2), (2, 2, 1), (2, 64, 1), (8, 2, 4)]
)
def test_workers_share_one_hashing_thread_per_core(build, monkeypatch, cores, workers, hashing):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    pool = build(TOKENSVC_WORKERS=str(workers), TOKENSVC_THREADS="8").accounts.hashing_pool
    assert pool._executor._max_workers == hashing


@pytest.mark.sec(46)
def test_new_database_has_no_account_and_no_client(build):
    services = build(TOKENSVC_ACCOUNTS__SIGN_UP="open")
    with services.database.read() as connection:
        for table in (accounts, service_clients):
            assert connection.execute(sa.select(table)).all() == []


def test_start_purges_old_failures(build):
    services = build()
    with services.database.write() as tx:
        row = {"subject": "old", "kind": "unknown", "failures": 1, "last_failed_at": 0}
        tx.execute(sa.insert(sign_in_failures).values(row))
    process = Process(services)
    process.start()

    def is_purged():
        with services.database.read() as connection:
            return connection.execute(sa.select(sign_in_failures)).first() is None

    wait_until(is_purged, "the old failures are deleted")
    process.stop()
