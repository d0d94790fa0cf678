"""The container: what its background loops do when they start and stop."""

import time
from functools import partial

import pytest
from prometheus_client import REGISTRY

from testing.doubles.stream import StreamDouble
from testing.service import STREAM_API_KEY, STREAM_API_SECRET, settings_environ
from testing.waiting import wait_until
from tokensvc.accounts.service import SignUpRequest
from tokensvc.app import container, startup
from tokensvc.audit.rules import Action
from tokensvc.audit.store import record
from tokensvc.config.loader import load
from tokensvc.core.actions import ActionContext
from tokensvc.core.targets import Target
from tokensvc.ops.health import State
from tokensvc.stream.delivery.rules import DeliveryState

CONTEXT = ActionContext("cli:test")


@pytest.fixture
def services(tmp_path):
    yield from built(tmp_path)


@pytest.fixture
def delivering(tmp_path, monkeypatch):
    """Yield services whose sender looks for the changes of other processes each hour."""
    monkeypatch.setattr(container, "_DELIVERY_INTERVAL", 3600.0)
    with StreamDouble({STREAM_API_KEY: STREAM_API_SECRET}) as stream:
        yield from built(
            tmp_path,
            STREAM_BASE_URL=stream.url,
            TOKENSVC_STREAM__DELIVERY="on",
            TOKENSVC_ACCOUNTS__ENABLED="true",
            TOKENSVC_SHARED_USER_IDS="true",
        )


def built(folder, **environ):
    settings = load(settings_environ(folder) | environ)
    startup.create_database(settings)
    startup.prepare(settings)
    services = container.build(settings)
    yield services
    services.close()


@pytest.mark.sec(59)
def test_start_purges_expired_audit_events(services):
    with services.database.write() as tx:
        record(tx, CONTEXT, Action.USER_REVOKED, "john", now=1000)
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


def test_changes_of_this_process_are_sent_without_waiting_for_a_look(delivering):
    john = {"id": "john", "name": "John"}

    def is_pausing():
        due_at = REGISTRY.get_sample_value(
            "tokensvc_loop_due_timestamp_seconds", {"loop": "delivery"}
        )
        return (due_at or 0) > time.time() + 1800  # none before the loop runs

    def is_sent():
        pending = [DeliveryState.PENDING]
        return not delivering.deliveries.listed(kind=None, states=pending, limit=1)

    def check_sent(change):
        wait_until(is_pausing, "the sender pauses")
        result = change()
        wait_until(is_sent, "the change is sent")
        return result

    delivering.start()
    revoked = check_sent(lambda: delivering.revocations.revoke(Target("john"), CONTEXT))
    undo = partial(delivering.revocations.undo, Target("john"), revoked.revocation.id, CONTEXT)
    check_sent(undo)
    check_sent(lambda: delivering.deliveries.set_profile("john", john, "svc.app"))
    changed = john | {"name": "Johnny"}
    check_sent(lambda: delivering.deliveries.change_own_profile("john", changed))
    wanted = SignUpRequest("jane", "seven green bicycles", {"id": "jane", "name": "Jane"})
    check_sent(lambda: delivering.accounts.accounts.create(wanted, CONTEXT))
