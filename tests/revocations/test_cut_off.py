"""When the cut-off is: after the wait for a lock, after a slow commit, on either database."""

import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from testing.postgres import PostgresServer
from testing.refused_writes import refuse_writes
from tokensvc.core.actions import ActionContext
from tokensvc.core.clock import system_clock
from tokensvc.core.errors import Refusal
from tokensvc.core.targets import APP, Target
from tokensvc.database import schema
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database
from tokensvc.database.tables import audit_events, deliveries, revocations, user_standings
from tokensvc.revocations.service import Revocations
from tokensvc.standing import store as standing_store
from tokensvc.standing.rules import issued_at
from tokensvc.standing.store import StandingStore

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
"""Makes the COMMIT of an act last until somebody has read in a later second than it began in."""


class SteppingClock:
    """A clock that gives one time after the other, then the last for ever."""

    def __init__(self, *times: float) -> None:
        self.times = list(times)

    def __call__(self) -> float:
        return self.times.pop(0) if len(self.times) > 1 else self.times[0]


def acts_on(database: Database, clock=system_clock) -> Revocations:
    return Revocations(
        database,
        DatabaseClock(database, clock),
        [],
        delivers=True,
        wait_slots=threading.Semaphore(1),
    )


def subject_of(action: str) -> Target | str:
    """Return what an action on ada takes first."""
    return "ada" if action in {"suspend", "reinstate"} else Target("ada")


def count(database: Database, table: sa.Table) -> int:
    with database.read() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(table))


def version(database: Database, subject: str) -> int:
    """Give how often Stream was to be told something new of a user."""
    with database.read() as connection:
        of_subject = sa.select(deliveries.c.version).where(deliveries.c.subject == subject)
        return connection.scalar(of_subject)


@pytest.mark.parametrize("act", ["revoke", "suspend"])
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
def test_a_cut_off_that_the_commit_has_overtaken_moves_once_more(
    database, act, times, cut_off, versions
):
    """The clock is read in the transaction and after it; one act, one event, told as it is."""
    acts = acts_on(database, SteppingClock(*times))
    state = getattr(acts, act)(subject_of(act), CONTEXT)
    assert state.tokens_valid_after == state.revocation.tokens_valid_after == cut_off
    assert state.revocation.created_at == 1_000
    standing = StandingStore(database, SteppingClock(times[-1])).read("ada")
    assert standing.tokens_valid_after == standing.floor == cut_off
    assert version(database, "ada") == versions
    assert count(database, revocations) == count(database, audit_events) == 1


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_an_act_that_was_undone_meanwhile_is_not_moved(database):
    """Between a slow commit and the second look somebody may have taken the act back."""
    other = acts_on(database, SteppingClock(1_002.0))
    acts = acts_on(database, SteppingClock(1_000.5, 1_003.0))
    between_commit_and_second_look(
        acts, lambda: other.undo(Target("ada"), other.state(Target("ada")).revocation.id, CONTEXT)
    )
    state = acts.revoke(Target("ada"), CONTEXT)
    assert state.tokens_valid_after is None
    assert state.revocation is None


class Died(Exception):
    """What happens to a process between two instructions."""


def act_and_die(database: Database, act: str) -> None:
    """Act at 1,000.5 on ada, commit, and look at the clock no more."""

    def die() -> None:
        raise Died

    dying = acts_on(database, SteppingClock(1_000.5))
    between_commit_and_second_look(dying, die)
    with pytest.raises(Died):
        getattr(dying, act)(subject_of(act), CONTEXT)


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_a_repetition_settles_what_a_dead_process_left(database):
    """A suspension whose slow commit nobody looked at moves with the next one, and then no more."""
    act_and_die(database, "suspend")
    assert acts_on(database).state(Target("ada")).tokens_valid_after == 1_001
    for now in (1_003.9, 1_020.0):
        state = acts_on(database, SteppingClock(now)).suspend("ada", CONTEXT)
        assert state.tokens_valid_after == state.revocation.tokens_valid_after == 1_004
    assert count(database, revocations) == count(database, audit_events) == 1


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_a_later_act_settles_those_before_it(database):
    """Else the undo of the later one would bring back a cut-off that a token has overtaken."""
    act_and_die(database, "revoke")
    acts = acts_on(database, SteppingClock(1_003.9))
    later = acts.revoke(Target("ada"), CONTEXT)
    state = acts.undo(Target("ada"), later.revocation.id, CONTEXT)
    assert state.tokens_valid_after == 1_004


def between_commit_and_second_look(acts: Revocations, happens: Callable[[], object]) -> None:
    """Let something happen when the act is committed and not looked at again."""
    second_look = acts._confirm

    def looked_at(user_id):
        happens()
        return second_look(user_id)

    acts._confirm = looked_at


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_a_slow_commit_on_postgresql(database):
    """Who reads while the commit is under way mints below the cut-off that is answered."""
    with database.write() as tx:
        for statement in SLOW_COMMIT:
            tx.exec_driver_sql(statement)
    acts, standings = acts_on(database), StandingStore(database, system_clock)
    clean = []
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(acts.revoke, Target("ada"), CONTEXT)
        while not answer.done():
            standing = standings.read("ada")
            if standing.tokens_valid_after is None:
                clean.append(standing)
                with database.write() as tx:
                    tx.exec_driver_sql(f"INSERT INTO readings VALUES ({standing.now})")
    state = answer.result()
    cut_off = state.tokens_valid_after
    assert cut_off >= state.revocation.created_at + 2
    assert state.revocation.tokens_valid_after == cut_off
    assert clean[-1].now > state.revocation.created_at, "nobody read after the first cut-off"
    assert max(issued_at(standing, 0) for standing in clean) < cut_off
    assert version(database, "ada") == 2


@pytest.mark.parametrize("user_id", ["ada", None])
def test_the_clock_is_read_after_the_wait_for_the_lock(database, user_id):
    """An act that waits over a second for another one is dated at the end of the wait."""
    acts = acts_on(database)
    acts.revoke(Target(user_id), CONTEXT)
    locked = threading.Event()

    def revoke():
        locked.wait()
        return acts.revoke(Target(user_id), CONTEXT)

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
    ("act", "table"),
    [*itertools.product(["revoke", "suspend", "undo"], TABLES), ("reinstate", "audit_events")],
)
def test_an_act_is_whole_or_not_at_all(database, act, table):
    """Where its event, its delivery or its row cannot be written, everything stays as it was."""
    acts, context = acts_on(database), [subject_of(act), CONTEXT]
    if act == "undo":
        context.insert(1, acts.revoke(Target("ada"), CONTEXT).revocation.id)
    if act == "reinstate":
        acts.suspend("ada", CONTEXT)
    before = contents(database)
    refuse_writes(database, table)
    with pytest.raises((sa.exc.DBAPIError, Refusal)):
        getattr(acts, act)(*context)
    assert contents(database) == before


def contents(database: Database) -> dict[str, list[object]]:
    """Give everything that acts write."""
    with database.read() as connection:
        return {
            table.name: [*connection.execute(sa.select(table))]
            for table in (user_standings, audit_events, deliveries, revocations)
        }


def test_without_the_apps_row_nobody_is_told_that_everyone_is_revoked(database):
    """An act on a row that is not there is refused, not answered."""
    with database.write() as tx:
        tx.exec_driver_sql("DELETE FROM app_standing")
    with pytest.raises(Refusal) as refused:
        acts_on(database).revoke(APP, CONTEXT)
    assert refused.value.code == "temporarily_unavailable"
    assert count(database, revocations) == 0


def test_an_act_that_no_standby_confirms_is_not_answered():
    """With a synchronous standby that is away an act is refused: a failover would not know it."""
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
            acts_on(database).revoke(Target("ada"), CONTEXT)
        assert refused.value.code == "temporarily_unavailable"
    finally:
        database.close()
        server.remove()


def setting(database: Database, name: str) -> str:
    with database.read() as connection:
        return connection.exec_driver_sql(f"SHOW {name}").scalar()
