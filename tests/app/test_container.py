"""The container: what its background loops do when they start and stop."""

import time

import pytest

from testing.service import settings_environ
from tokensvc.app import container, startup
from tokensvc.audit.rules import Action
from tokensvc.audit.store import record
from tokensvc.config.loader import load
from tokensvc.core.actions import ActionContext
from tokensvc.ops.health import State


@pytest.fixture
def services(tmp_path):
    settings = load(settings_environ(tmp_path))
    startup.prepare(settings)
    services = container.build(settings)
    yield services
    services.close()


@pytest.mark.sec(59)
def test_start_purges_expired_audit_events(services):
    with services.database.write() as tx:
        record(tx, ActionContext("cli:test"), Action.USER_REVOKED, "john", now=1000)
    services.start()
    deadline = time.monotonic() + 60
    while services.audit.page(limit=1, filters={"subject": "john"}):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_start_looks_at_the_readiness_before_the_first_request(services):
    assert services.readiness.last().status is State.FAILED
    services.start()
    assert services.readiness.last().status is State.OK


class _Recorder:
    """Records its name when it is stopped."""

    def __init__(self, name, stopped):
        self.name = name
        self.stopped = stopped

    def stop(self):
        self.stopped.append(self.name)


def test_stop_ends_calls_to_stream_before_it_waits_for_loops(services, monkeypatch):
    stopped = []
    with monkeypatch.context() as patched:
        patched.setattr(services, "sender", _Recorder("sender", stopped))
        patched.setattr(services, "delivery_loop", _Recorder("delivery", stopped))
        others = tuple(_Recorder(name, stopped) for name in ("usage", "keys"))
        patched.setattr(services, "other_loops", others)
        services.stop()
    assert stopped == ["sender", "delivery", "usage", "keys"]
