"""The time of the cut-off after a lock wait or a slow commit, and atomic actions."""

import itertools
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from testing.postgres import PostgresServer
from testing.refused_writes import refuse_writes
from testing.sessions import sessions_on
from tokensvc.audit.tables import audit_events
from tokensvc.core.actions import APP, ActionContext, Target
from tokensvc.core.clock import system_clock
from tokensvc.core.errors import Refusal
from tokensvc.core.waiting import WaitSlots
from tokensvc.database import schema
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database
from tokensvc.revocations.service import Revocations
from tokensvc.revocations.tables import revocations
from tokensvc.standing import store as standing_store
from tokensvc.standing.rules import issued_at
from tokensvc.standing.store import StandingStore
from tokensvc.standing.tables import user_standings
from tokensvc.stream.delivery.tables import deliveries

CONTEXT = ActionContext("svc.backend")
SLOW_COMMIT = (
    """
    CREATE FUNCTION be_slow() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        WHILE NOT EXISTS (SELECT FROM readings WHERE at > NEW.created_at) LOOP
            PERFORM pg_sleep(0.02);
        END LOOP;
        RETURN NULL;
    END $$
    """,
    "CREATE TABLE readings (at bigint)",
    """
    CREATE CONSTRAINT TRIGGER slow_commit AFTER INSERT ON revocations
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION be_slow()
    """,
)
"""Extends the COMMIT of an action until a read happened in a later second than the action."""


class SteppingClock:
    """A clock that returns its times in turn, then the last one permanently."""

    def __init__(self, *times: float) -> None:
        self.times = list(times)

    def __call__(self) -> float:
        return self.times.pop(0) if len(self.times) > 1 else self.times[0]


def service_on(database: Database, clock=system_clock) -> Revocations:
    return Revocations(
        database,
        DatabaseClock(database, clock),
        [],
        is_delivery_on=True,
        wait_slots=WaitSlots(1),
        count_sessions=sessions_on(database, clock).count_open,
    )


def subject_of(action: str) -> Target | str:
    """Return what an action on ada takes first."""
    return "ada" if action in {"suspend", "reinstate", "renew"} else Target("ada")


def count(database: Database, table: sa.Table) -> int:
    with database.read() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(table))


def version(database: Database, subject: str) -> int:
    """Return the version of a user's delivery."""
    with database.read() as connection:
        of_subject = sa.select(deliveries.c.version).where(deliveries.c.subject == subject)
        return connection.scalar(of_subject)


@pytest.mark.parametrize("action", ["revoke", "suspend"])
@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("times", "cut_off", "versions"),
    [
        ((1_000.5, 1_000.9), 1_001, 1),
        ((1_000.5, 1_001.0), 1_002, 2),
        ((1_000.5, 1_003.9), 1_004, 2),
        ((1_000.5, 1_007.2, 1_020.0), 1_008, 2),
    ],
)
def test_cut_off_that_passed_during_the_commit_moves_again(
    database, action, times, cut_off, versions
):
    """There is still one revocation and one event."""
    service = service_on(database, SteppingClock(*times))
    state = getattr(service, action)(subject_of(action), CONTEXT)
    assert state.tokens_valid_after == state.revocation.tokens_valid_after == cut_off
    assert state.revocation.created_at == 1_000
    standing = StandingStore(database, SteppingClock(times[-1])).read("ada")
    assert standing.tokens_valid_after == standing.floor == cut_off
    assert version(database, "ada") == versions
    assert count(database, revocations) == count(database, audit_events) == 1


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_revocation_undone_before_its_confirmation_does_not_move(database):
    other = service_on(database, SteppingClock(1_002.0))
    service = service_on(database, SteppingClock(1_000.5, 1_003.0))
    before_confirmation(
        service,
        lambda: other.undo(Target("ada"), other.state(Target("ada")).revocation.id, CONTEXT),
    )
    state = service.revoke(Target("ada"), CONTEXT)
    assert state.tokens_valid_after is None
    assert state.revocation is None


class Died(Exception):
    """The end of a process between two instructions."""


def commit_and_die(database: Database, action: str) -> None:
    """Run an action on ada at 1,000.5, commit, and do not confirm it."""

    def die() -> None:
        raise Died

    dying = service_on(database, SteppingClock(1_000.5))
    before_confirmation(dying, die)
    with pytest.raises(Died):
        getattr(dying, action)(subject_of(action), CONTEXT)


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_repetition_confirms_the_revocation_of_a_dead_process(database):
    """The cut-off of an unconfirmed suspension moves with the next request, but only once."""
    commit_and_die(database, "suspend")
    assert service_on(database).state(Target("ada")).tokens_valid_after == 1_001
    for now in (1_003.9, 1_020.0):
        state = service_on(database, SteppingClock(now)).suspend("ada", CONTEXT)
        assert state.tokens_valid_after == state.revocation.tokens_valid_after == 1_004
    assert count(database, revocations) == count(database, audit_events) == 1


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_later_action_confirms_earlier_revocations(database):
    """Otherwise the undo of the later one would restore a cut-off that has passed."""
    commit_and_die(database, "revoke")
    service = service_on(database, SteppingClock(1_003.9))
    later = service.revoke(Target("ada"), CONTEXT)
    state = service.undo(Target("ada"), later.revocation.id, CONTEXT)
    assert state.tokens_valid_after == 1_004


def before_confirmation(service: Revocations, function: Callable[[], object]) -> None:
    """Run a function after the commit of the next action and before its confirmation."""
    confirm = service.confirm

    def run_then_confirm(target):
        function()
        return confirm(target)

    service.confirm = run_then_confirm


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_token_of_a_read_during_a_slow_commit_is_below_the_cut_off(database):
    with database.write() as tx:
        for statement in SLOW_COMMIT:
            tx.exec_driver_sql(statement)
    service, standings = service_on(database), StandingStore(database, system_clock)
    clean = []
    with ThreadPoolExecutor(1) as pool:
        response = pool.submit(service.revoke, Target("ada"), CONTEXT)
        while not response.done():
            standing = standings.read("ada")
            if standing.tokens_valid_after is None:
                clean.append(standing)
                with database.write() as tx:
                    tx.exec_driver_sql(f"INSERT INTO readings VALUES ({standing.now})")
    state = response.result()
    cut_off = state.tokens_valid_after
    assert cut_off >= state.revocation.created_at + 2
    assert state.revocation.tokens_valid_after == cut_off
    assert clean[-1].now > state.revocation.created_at, "no read after the first cut-off"
    assert max(issued_at(standing, 0) for standing in clean) < cut_off
    assert version(database, "ada") == 2


@pytest.mark.parametrize("user_id", ["ada", None])
def test_clock_is_read_after_the_wait_for_the_lock(database, user_id):
    service = service_on(database)
    service.revoke(Target(user_id), CONTEXT)
    locked = threading.Event()

    def revoke():
        locked.wait()
        return service.revoke(Target(user_id), CONTEXT)

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(revoke)
        with database.write() as tx:
            standing_store.lock(tx, Target(user_id))
            locked.set()
            time.sleep(1.2)
            released = system_clock()
        state = waiting.result()
    assert state.revocation.created_at >= int(released)
    assert state.tokens_valid_after > released


TABLES = ["audit_events", "deliveries", "revocations"]


@pytest.mark.parametrize(
    ("action", "table"),
    [
        *itertools.product(["revoke", "suspend", "undo"], TABLES),
        *itertools.product(["renew"], TABLES[:2]),
        ("reinstate", "audit_events"),
    ],
)
def test_action_is_atomic(database, action, table):
    """If its event, its delivery or its row cannot be written, nothing changes."""
    service, context = service_on(database), [subject_of(action), CONTEXT]
    if action == "undo":
        context.insert(1, service.revoke(Target("ada"), CONTEXT).revocation.id)
    if action == "reinstate":
        service.suspend("ada", CONTEXT)
    before = contents(database)
    refuse_writes(database, table)
    with pytest.raises((sa.exc.DBAPIError, sqlite3.IntegrityError, Refusal)):
        getattr(service, action)(*context)
    assert contents(database) == before


def contents(database: Database) -> dict[str, list[object]]:
    """Return all rows that actions write."""
    with database.read() as connection:
        return {
            table.name: [*connection.execute(sa.select(table))]
            for table in (user_standings, audit_events, deliveries, revocations)
        }


def test_app_revocation_without_the_row_of_the_app_is_refused(database):
    with database.write() as tx:
        tx.exec_driver_sql("DELETE FROM app_standing")
    with pytest.raises(Refusal) as refused:
        service_on(database).revoke(APP, CONTEXT)
    assert refused.value.code == "temporarily_unavailable"
    assert count(database, revocations) == 0


def test_action_that_no_standby_confirms_is_refused():
    """A failover to the synchronous standby would lose it."""
    server = PostgresServer()
    database = Database.open(server.fresh_url(), pool_size=2)
    try:
        schema.migrate(database)
        with server.connection() as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'away'")
            connection.execute("SELECT pg_reload_conf()")
        while setting(database, "synchronous_standby_names") != "away":
            time.sleep(0.05)
        with pytest.raises(Refusal) as refused:
            service_on(database).revoke(Target("ada"), CONTEXT)
        assert refused.value.code == "temporarily_unavailable"
    finally:
        database.close()
        server.remove()


def setting(database: Database, name: str) -> str:
    with database.read() as connection:
        return connection.exec_driver_sql(f"SHOW {name}").scalar()
