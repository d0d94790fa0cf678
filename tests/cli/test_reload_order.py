"""HUP to the running service: the previous workers serve until the new ones do."""

import signal

import pytest

from testing.http_client import Client
from testing.service import ROOT, running_service
from testing.waiting import wait_until

pytestmark = pytest.mark.slow

BOOT = """
import os, time
from gunicorn.workers.base import Worker
load = Worker.load_wsgi
def load_later(self):
    while os.path.exists({hold!r}):
        time.sleep(0.02)
    if os.path.exists({broken!r}):
        raise RuntimeError("cannot boot")
    load(self)
Worker.load_wsgi = load_later
"""


@pytest.fixture
def files(tmp_path):
    """Return the file that holds a worker's boot, and the one that breaks it."""
    hold, broken = tmp_path / "hold", tmp_path / "broken"
    (tmp_path / "sitecustomize.py").write_text(BOOT.format(hold=str(hold), broken=str(broken)))
    return hold, broken


@pytest.fixture
def service(files, tmp_path):
    path = f"{tmp_path}:{ROOT}"
    with running_service(tmp_path, PYTHONPATH=path, TOKENSVC_WORKERS="2") as running:
        log = running.log_path
        wait_until(lambda: log.read_text().count("connections_fit") == 2, "both workers serve")
        yield running


def reload_with_held_workers(service, hold):
    """Send HUP, and wait until the new workers have started without serving; return the old."""
    before = set(service.worker_pids())
    hold.touch()
    service.process.send_signal(signal.SIGHUP)
    wait_until(lambda: len(service.worker_pids()) == 4, "the new workers have started")
    return before


def statuses(service):
    """Return the statuses of requests, each on a connection of its own."""
    return {
        Client(service.base_url).get("/healthz", headers={"Connection": "close"}).status
        for _ in range(20)
    }


def test_previous_workers_serve_until_the_new_ones_do(service, files):
    hold, _ = files
    before = reload_with_held_workers(service, hold)
    assert statuses(service) == {200}
    assert before <= set(service.worker_pids())
    hold.unlink()
    wait_until(
        lambda: len(service.worker_pids()) == 2 and not before & set(service.worker_pids()),
        "only the new workers are left",
    )
    assert statuses(service) == {200}


def test_reload_whose_workers_cannot_boot_keeps_the_previous_ones(service, files):
    _, broken = files
    before = set(service.worker_pids())
    broken.touch()
    service.process.send_signal(signal.SIGHUP)
    wait_until(
        lambda: "workers_reload_failed" in service.log_path.read_text(),
        "the reload has failed",
    )
    wait_until(lambda: set(service.worker_pids()) == before, "the new workers have ended")
    assert statuses(service) == {200}
    broken.unlink()
    service.reload()


def test_stop_does_not_wait_for_new_workers(service, files):
    reload_with_held_workers(service, files[0])
    assert service.stop() == 0
    assert files[0].exists()
    assert "workers_reload_failed" not in service.log_path.read_text(), "no reload to repeat"
