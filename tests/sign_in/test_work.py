"""The work of a sign-in that is refused: it must not show whether the account exists."""

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import sqlalchemy as sa

from testing.accounts import PASSWORD
from testing.database_parts import engine_of, idle_connections
from testing.service import EVERYTHING
from testing.standings import suspend
from testing.waiting import wait_until
from testing.world import running_world
from tests.sign_in.passwords import PasswordWorld
from tokensvc.accounts.passwords import hashing
from tokensvc.accounts.passwords.hashing import HashingPool, PasswordHasher
from tokensvc.core.errors import Code, Refusal
from tokensvc.core.waiting import WaitSlots
from tokensvc.database.postgresql_connection import BoundedConnection
from tokensvc.database.sqlite import FileConnection


class Calls:
    """What requests do: statements, hashes with their parameters, and steps of the limiter."""

    def __init__(self, world, monkeypatch):
        self._calls = []
        engine = engine_of(world.database)
        sa.event.listen(engine, "before_cursor_execute", self._record_statement)
        sa.event.listen(engine, "commit", lambda _: self._calls.append("COMMIT"))
        verify, check = hashing.verify_hash, world.limiter._check
        connection_type = FileConnection if engine.name == "sqlite" else BoundedConnection
        fetch = connection_type.fetch

        def fetch_and_record(connection, statement, values):
            self._calls.append(str(statement.compile(engine)))
            return fetch(connection, statement, values)

        def verify_and_record(stored, password):
            self._calls.append(("hash", stored.split("$")[1:4], len(stored)))
            return verify(stored, password)

        def check_and_record(policy, key, *, count):
            self._calls.append((policy, count))
            return check(policy, key, count=count)

        monkeypatch.setattr(connection_type, "fetch", fetch_and_record)
        monkeypatch.setattr(hashing, "verify_hash", verify_and_record)
        monkeypatch.setattr(world.limiter, "_check", check_and_record)

    def _record_statement(self, _connection, _cursor, statement, *_):
        self._calls.append(statement)

    def of(self, call):
        """Return the calls of a sign-in that is refused, and its refusal."""
        self._calls.clear()
        with pytest.raises(Refusal) as refused:
            call()
        refusal = refused.value
        return list(self._calls), (refusal.code, refusal.detail, refusal.members, refusal.status)


@pytest.mark.sec(38)
def test_every_refused_sign_in_makes_the_same_calls(database, monkeypatch):
    pool = HashingPool(1, WaitSlots(2))
    hasher = PasswordHasher(pool)
    world = PasswordWorld(database, hasher)
    own = hasher.hash(PASSWORD)
    for user_id in ("ada", "ben", "suspended"):
        world.create(user_id, password_hash=own)
    world.create("deleted", password_hash=None, deleted_at=1)
    world.create("without", password_hash=None)
    suspend(database, "suspended")
    with pytest.raises(Refusal):  # opens the connections
        world.open("ben", "wrong")
    calls = Calls(world, monkeypatch)
    first, second = [calls.of(lambda: world.open("ada", "wrong")) for _ in range(2)]
    for user_id in ("unknown-user", "suspended", "deleted", "without"):
        password = "wrong" if user_id == "suspended" else PASSWORD
        for wrong in (first, second):
            attempt = partial(world.open, user_id, password)
            assert calls.of(attempt) == wrong, user_id
    right = calls.of(lambda: world.open("suspended"))
    assert (right[0], right[1][0]) == (second[0], Code.USER_SUSPENDED)
    pool.close()
    made = first[0]
    expected = ["mint", "sign_in", "hash", "sign_in"]
    assert [call[0] for call in made if isinstance(call, tuple)] == expected
    before_hash = made[: next(i for i, call in enumerate(made) if call[0] == "hash")]
    # The epochs in the same statement as the hash: a password that is changed in between must not
    # get those of the new one.
    assert ["password_hash" in call for call in before_hash if "epoch" in call] == [True]
    for table in ("sign_in_failures", "audit_events"):
        assert len([call for call in made if f"INSERT INTO {table}" in call]) == 1


def test_full_queue_of_hashes_is_one_line_and_no_error(tmp_path_factory):
    """Anyone can fill it, and must not fill the operators' list of errors."""
    settings = {**EVERYTHING, "TOKENSVC_THREADS": "8"}
    with running_world(tmp_path_factory.mktemp("busy"), **settings) as world:

        def sign_in(number):
            body = {"user_id": f"unknown-{number}", "password": "a wrong passphrase"}
            return world.anonymous.post("/v1/sessions", json=body).status

        with ThreadPoolExecutor(32) as strangers:
            assert {*strangers.map(sign_in, range(96))} == {401, 503}
        lines = [line for line in world.log("request") if line["status"] == 503]
        assert {(line["level"], line["reason"]) for line in lines} == {("info", "wait slots")}
        assert len(lines) > 1
        began = [(line["level"], line["cause"]) for line in world.log("outage_began")]
        assert began == [("warning", "wait slots")]


@pytest.mark.sec(43)
def test_sign_in_without_a_place_in_the_queue_only_reads(database, monkeypatch):
    """Otherwise the counts of many sign-ins at the same moment would delay every other request."""
    pool = HashingPool(1, WaitSlots(1))
    world = PasswordWorld(database, PasswordHasher(pool))
    calls, done = Calls(world, monkeypatch), threading.Event()
    with ThreadPoolExecutor(1) as other:
        hashing_long = other.submit(pool.run, done.wait)
        wait_until(lambda: not pool.wait_slots._free, "the only thread is taken")
        made, refusal = calls.of(world.open)
        done.set()
        hashing_long.result()
    pool.close()
    assert refusal[0] is Code.TEMPORARILY_UNAVAILABLE
    assert [call for call in made if isinstance(call, tuple)] == [
        ("mint", False),
        ("sign_in", False),
    ]
    assert {call.split()[0] for call in made if isinstance(call, str)} == {"SELECT"}


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_sign_in_waits_five_times_for_postgresql(database, tmp_path):
    """For three statements of their own, for BEGIN, and for all of its transaction."""
    world = PasswordWorld(database)
    world.create()
    world.open()  # opens the connections, and prepares the statements
    with database.read() as connection:
        drivers = [connection.connection.dbapi_connection, *idle_connections(database)]
    path = tmp_path / "trace"
    with path.open("wb") as file:
        for driver in drivers:
            driver.pgconn.trace(file.fileno())
        world.open()
        for driver in drivers:
            driver.pgconn.untrace()
    assert path.read_text().count("ReadyForQuery") == 5
