"""A process: its background loops when it starts, runs and stops."""

import threading
import time
from collections import Counter
from contextlib import closing
from dataclasses import FrozenInstanceError, replace
from functools import partial

import pytest
from prometheus_client import REGISTRY

from testing.doubles.stream import StreamDouble
from testing.service import STREAM_API_KEY, STREAM_API_SECRET, settings_environ
from testing.waiting import wait_until
from tokensvc.accounts.service import SignUpRequest
from tokensvc.app import startup
from tokensvc.app.loops import LOOPS, LoopSpec, ProcessKind
from tokensvc.app.process import Process
from tokensvc.audit.rules import Action
from tokensvc.audit.store import record
from tokensvc.config.loader import load
from tokensvc.core.actions import ActionContext, Target
from tokensvc.core.findings import State
from tokensvc.database.engine import Database
from tokensvc.stream.delivery.rules import DeliveryState

ONLY_POSTGRESQL = {"database_servers", "database_lease"}
NAMES = {loop.name for loop in LOOPS}
HOUR = 3600.0

CONTEXT = ActionContext("cli:test")


@pytest.fixture
def process(tmp_path):
    """Yield a process that serves requests; it is not started."""
    with closing(built(tmp_path)) as services:
        process = Process(services)
        yield process
        process.stop()


@pytest.fixture
def everything(tmp_path):
    """Yield the services of a process that needs each loop."""
    with StreamDouble({STREAM_API_KEY: STREAM_API_SECRET}) as stream:
        stream.limits.lift()
        services = built(
            tmp_path,
            STREAM_BASE_URL=stream.url,
            TOKENSVC_STREAM__DELIVERY="on",
            TOKENSVC_ACCOUNTS__ENABLED="true",
            TOKENSVC_SHARED_USER_IDS="true",
        )
        with closing(services):
            yield services


def built(folder, **environ):
    settings = load(settings_environ(folder) | environ)
    startup.create_database(settings)
    return startup.prepare(settings)


def running_loops():
    """Return the names of the threads that are loops of the table."""
    return Counter(thread.name for thread in threading.enumerate() if thread.name in NAMES)


@pytest.mark.sec(59)
def test_start_purges_expired_audit_events(process):
    services = process.services
    with services.database.write() as tx:
        record(tx, CONTEXT, Action.USER_REVOKED, "john", now=1000)
    process.start()
    deadline = time.monotonic() + 60
    while services.audit.page(limit=1, filters={"subject": "john"}):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_start_looks_at_the_readiness_before_the_first_request(process):
    readiness = process.services.operations.readiness
    assert readiness.last().service.status is State.FAILED
    process.start()
    assert readiness.last().service.status is State.OK


def test_record_of_services_cannot_be_changed(process):
    with pytest.raises(FrozenInstanceError):
        process.services.stream = None


@pytest.mark.parametrize("role", ProcessKind)
def test_each_loop_of_a_role_runs_once_until_the_stop(everything, role):
    process = Process(everything, role)
    process.start()
    running = running_loops()
    process.stop()
    expected = {loop.name for loop in LOOPS if role in loop.roles} - ONLY_POSTGRESQL
    assert running == Counter(expected)
    assert not running_loops()


def test_loops_of_absent_features_do_not_run(process):
    process.start()
    assert NAMES - set(running_loops()) == {
        *("delivery", "account_purge", "signing_keys"),
        *ONLY_POSTGRESQL,
    }


def test_pool_has_a_connection_for_each_thread_and_loop(tmp_path, monkeypatch):
    sizes, opened = [], Database.open

    def open_recorded(url, *, pool_size, creates=True):
        sizes.append(pool_size)
        return opened(url, pool_size=pool_size, creates=creates)

    monkeypatch.setattr(Database, "open", open_recorded)
    with closing(built(tmp_path, TOKENSVC_THREADS="5")) as services:
        assert services.settings.threads == 5
    loops = [loop for loop in LOOPS if ProcessKind.SERVICE in loop.roles]
    assert set(sizes) == {5 + len(loops)}


def test_stop_ends_calls_to_stream_before_it_waits_for_loops(everything):
    """The loops stop in the order of the table, which begins with delivery."""
    steps = []

    def recording(name):
        return LoopSpec(name, lambda _: lambda: steps.append(name), HOUR, steps_on_stop=True)

    class Sender:
        def stop(self):
            steps.append("sender")

    stream = replace(everything.stream, sender=Sender())
    table = [recording(name) for name in ("delivery", "usage", "keys")]
    process = Process(replace(everything, stream=stream), loops=table)
    process.start()
    wait_until(lambda: len(steps) == len(table), "each loop has run")
    steps.clear()
    process.stop()
    assert steps == ["sender", "delivery", "usage", "keys"]
    assert LOOPS[0].name == "delivery"


def test_changes_of_this_process_are_sent_without_waiting_for_a_look(everything):
    """The sender looks for the changes of other processes each hour."""
    services = everything
    hourly = [replace(row, interval=HOUR) if row.name == "delivery" else row for row in LOOPS]
    process = Process(services, loops=hourly)
    john = {"id": "john", "name": "John"}

    def is_pausing():
        due_at = REGISTRY.get_sample_value(
            "tokensvc_loop_due_timestamp_seconds", {"loop": "delivery"}
        )
        return (due_at or 0) > time.time() + 1800  # none before the loop runs

    def is_sent():
        pending = [DeliveryState.PENDING]
        return not services.stream.deliveries.listed(kind=None, states=pending, limit=1)

    def check_sent(change):
        wait_until(is_pausing, "the sender pauses")
        result = change()
        wait_until(is_sent, "the change is sent")
        return result

    process.start()
    revoked = check_sent(lambda: services.revocations.revoke(Target("john"), CONTEXT))
    undo = partial(services.revocations.undo, Target("john"), revoked.revocation.id, CONTEXT)
    check_sent(undo)
    check_sent(lambda: services.stream.deliveries.set_profile("john", john, "svc.app"))
    changed = john | {"name": "Johnny"}
    check_sent(lambda: services.stream.deliveries.change_own_profile("john", changed))
    wanted = SignUpRequest("jane", "seven green bicycles", {"id": "jane", "name": "Jane"})
    check_sent(lambda: services.accounts.accounts.create(wanted, CONTEXT))
    process.stop()
