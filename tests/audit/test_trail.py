"""The trail on SQLite and PostgreSQL: in order, complete, kept, purged, and free of secrets."""

import json
import time

import pytest
import sqlalchemy as sa

from tests.audit.conftest import RETENTION
from tokensvc.audit.rules import Action, event_id, first_id_at
from tokensvc.audit.service import AuditTrail
from tokensvc.audit.store import record
from tokensvc.core.actions import ActionContext
from tokensvc.core.errors import Refusal
from tokensvc.database.tables import audit_events
from tokensvc.telemetry import redaction
from tokensvc.telemetry.logging import request_id

EVERYTHING = 10_000


def write(
    database,
    subject="ada",
    *,
    at=None,
    actor="svc.backend",
    action=Action.USER_REVOKED,
    reason=None,
):
    """Write an event, now or at a time."""
    context = ActionContext(actor, reason)
    with database.write() as tx:
        record(tx, context, action, subject, now=time.time() if at is None else at)


def subjects(trail, **filters):
    return [event.subject for event in trail.page(limit=EVERYTHING, filters=filters)]


def test_events_come_newest_first(database, trail):
    """In the order in which they happened, also within one moment."""
    now = time.time()
    for number in range(20):
        write(database, f"user-{number}", at=now)
    assert subjects(trail) == [f"user-{number}" for number in reversed(range(20))]


def test_an_event_says_who_what_whom_when_and_why(database, trail):
    """All of it, and the request that asked for it."""
    token = request_id.set("5f2b8c1e9d3a4f60b7c8d9e0f1a2b3c4")
    try:
        write(database, "ada", at=1_795_000_000.5, reason="lost phone")
    finally:
        request_id.reset(token)
    (event,) = trail.page(limit=1, filters={})
    assert event.id.startswith("evt_")
    assert (event.time, event.actor, event.action) == (1_795_000_000, "svc.backend", "user:revoked")
    assert (event.subject, event.outcome, event.reason) == ("ada", "ok", "lost phone")
    assert event.request_id == "5f2b8c1e9d3a4f60b7c8d9e0f1a2b3c4"


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, ["c", "b", "a"]),
        ({"subject": "a"}, ["a"]),
        ({"actor": "cli:root"}, ["c", "b"]),
        ({"actor": "cli:root", "action": "user:suspended"}, ["c"]),
        ({"outcome": "ok", "subject": "b"}, ["b"]),
        ({"request_id": "none"}, []),
        ({"subject": "' OR 1=1 --"}, []),
    ],
)
def test_filters_are_held_against_every_event(database, trail, filters, found):
    """An event is shown when it has all of what is asked for."""
    write(database, "a")
    write(database, "b", actor="cli:root")
    write(database, "c", actor="cli:root", action=Action.USER_SUSPENDED)
    assert subjects(trail, **filters) == found


@pytest.mark.sec(59)
@pytest.mark.parametrize(
    "secret",
    [
        "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyX2lkIjoiam9obiJ9.c2lnbmF0dXJl",
        "tks_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJK",
        "the-stream-secret-of-the-settings-0123456789",
    ],
)
def test_no_secret_is_kept(database, trail, secret, monkeypatch):
    """A token or a secret that somebody pasted as a reason is taken out before it is written."""
    monkeypatch.setattr(redaction, "_secrets", ())
    redaction.register_secrets(["the-stream-secret-of-the-settings-0123456789"])
    write(database, reason=f"leaked: {secret}")
    (event,) = trail.page(limit=1, filters={})
    assert event.reason.startswith("leaked: ")
    with database.read() as connection:
        rows = connection.execute(sa.select(audit_events)).all()
    assert secret not in json.dumps([list(row) for row in rows])


COLUMNS = "id, time, actor, action, subject, outcome, request_id, reason"
FORGED = "time, 'nobody', action, subject, outcome, request_id, reason FROM audit_events"
OF_BOTH = {
    "updated": "UPDATE audit_events SET actor = 'nobody'",
    "deleted": "DELETE FROM audit_events",
    "picked": "DELETE FROM audit_events WHERE subject = 'ada'",
    "upserted": (
        f"INSERT INTO audit_events ({COLUMNS}) SELECT id, {FORGED} WHERE true"
        " ON CONFLICT (id) DO UPDATE SET actor = 'nobody'"
    ),
}
OF_SQLITE = {
    "replaced": f"INSERT OR REPLACE INTO audit_events ({COLUMNS}) SELECT id, {FORGED}",
    "updated or replaced": "UPDATE OR REPLACE audit_events SET actor = 'nobody'",
}
OF_POSTGRESQL = {
    "emptied": "TRUNCATE audit_events",
    "emptied with others": "TRUNCATE audit_purge, audit_events CASCADE",
}


@pytest.mark.sec(59)
@pytest.mark.parametrize(
    ("database_kind", "statement"),
    [
        pytest.param(dialect, statement, id=f"{dialect}-{name}")
        for dialect, statements in (
            ("sqlite", OF_BOTH | OF_SQLITE),
            ("postgresql", OF_BOTH | OF_POSTGRESQL),
        )
        for name, statement in statements.items()
    ],
    indirect=["database_kind"],
)
def test_nothing_is_changed_or_taken_out(database, trail, statement):
    """The database itself refuses both, in whatever words."""
    write(database)
    before = trail.page(limit=EVERYTHING, filters={})
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), database.write() as tx:
        tx.exec_driver_sql(statement)
    assert trail.page(limit=EVERYTHING, filters={}) == before


@pytest.mark.sec(59)
@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_an_event_is_not_replaced_by_its_number(database, trail):
    """SQLite numbers the rows of a table, unless it is told not to: that is a second key."""
    write(database)
    before = trail.page(limit=EVERYTHING, filters={})
    forged = f"INSERT OR REPLACE INTO audit_events (rowid, {COLUMNS}) SELECT 1, 'evt_0', {FORGED}"
    with pytest.raises(Refusal), database.write() as tx:
        tx.exec_driver_sql(forged)
    assert trail.page(limit=EVERYTHING, filters={}) == before


def test_what_was_kept_long_enough_is_purged(database, trail):
    """In batches; the purge is an event; what is younger stays, and stays protected."""
    now, context = time.time(), ActionContext("svc.backend")
    with database.write() as tx:
        for number in range(2_500):
            time_of_event = now - RETENTION - 60 + number / 1000
            record(tx, context, Action.USER_REVOKED, f"old-{number}", now=time_of_event)
    write(database, "young", at=now - RETENTION + 60)
    assert trail.purge() == 2_500
    left = trail.page(limit=EVERYTHING, filters={})
    assert [event.action for event in left] == ["audit:purged"] * 3 + ["user:revoked"]
    assert left[-1].subject == "young"
    assert {(event.actor, event.subject) for event in left[:3]} == {("service:retention", "audit")}
    assert sum(int(event.reason.partition(" ")[0]) for event in left[:3]) == 2_500
    assert trail.purge() == 0
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), database.write() as tx:
        tx.execute(audit_events.delete())


def test_whoever_follows_sees_every_event_once(database, trail):
    """The latest first, then what comes; an event that was dated earlier is not missed."""
    for name in ("a", "b", "c"):
        write(database, name)
    following = trail.follow(2, {})

    def come():
        return [event.subject for event in next(following)]

    assert come() == ["b", "c"]
    assert come() == []
    write(database, "d")
    write(database, "late", at=time.time() - 30)
    assert come() == ["late", "d"]
    assert come() == []
    write(database, "e", actor="cli:root")
    assert come() == ["e"]


def test_whoever_pauses_misses_nothing(database, clock):
    """However long after the last look the next one is, and whatever was dated before that."""
    following = AuditTrail(database, clock, RETENTION).follow(0, {})

    def come():
        return [event.subject for event in next(following)]

    assert come() == []
    write(database, "slow", at=clock.now - 50)
    write(database, "soon", at=clock.now + 1)
    write(database, "later", at=clock.now + 1_000)
    clock.now += 3_600
    assert come() == ["slow", "soon", "later"]
    assert come() == []
    clock.now -= 300
    write(database, "set back", at=clock.now)
    assert come() == ["set back"]


def test_following_looks_for_what_is_asked_for(database, trail):
    """The filter holds for what comes too; nothing old is shown as new."""
    write(database, "a")
    following = trail.follow(0, {"actor": "cli:root"})
    assert next(following) == []
    write(database, "b")
    write(database, "c", actor="cli:root")
    assert [event.subject for event in next(following)] == ["c"]


def test_ids_sort_by_time():
    """Within a millisecond by the serial, and an edge lies between what is older and younger."""
    times = [0, 1_795_000_000.001, 1_795_000_000.002, 1_795_000_001, 2**33]
    ids = [event_id(now, serial, "0" * 8) for now in times for serial in range(3)]
    assert ids == sorted(ids)
    edge = first_id_at(1_795_000_000.002)
    assert ids[5] < edge < ids[6]
