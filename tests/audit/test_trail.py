"""The trail on both databases: ordered, complete, append-only, purged and free of secrets."""

import json
import time

import pytest
import sqlalchemy as sa

from tests.audit.conftest import RETENTION
from tokensvc.audit.rules import Action, event_id, first_id_at
from tokensvc.audit.service import AuditTrail
from tokensvc.audit.store import record
from tokensvc.audit.tables import audit_events
from tokensvc.core import current_request
from tokensvc.core.actions import ActionContext
from tokensvc.core.current_request import CurrentRequest
from tokensvc.core.errors import Refusal
from tokensvc.telemetry import redaction

EVERYTHING = 10_000


def write(
    database,
    subject="ada",
    *,
    at=None,
    actor="svc.backend",
    reason=None,
):
    """Write an event, now or at a time."""
    context = ActionContext(actor, reason)
    with database.write() as tx:
        record(tx, context, Action.USER_REVOKED, subject, now=time.time() if at is None else at)


def subjects(trail, **filters):
    return [event.subject for event in trail.page(limit=EVERYTHING, filters=filters)]


def test_events_are_newest_first(database, trail):
    """Events of the same time keep their order."""
    now = time.time()
    for number in range(20):
        write(database, f"user-{number}", at=now)
    assert subjects(trail) == [f"user-{number}" for number in reversed(range(20))]


def test_event_has_all_members(database, trail):
    request = CurrentRequest({}, "5f2b8c1e9d3a4f60b7c8d9e0f1a2b3c4", "")
    token = current_request.enter(request)
    try:
        write(database, "ada", at=1_795_000_000.5, reason="lost phone")
    finally:
        current_request.leave(token)
    (event,) = trail.page(limit=1, filters={})
    assert event.id.startswith("evt_")
    assert (event.time, event.actor, event.action) == (1_795_000_000, "svc.backend", "user:revoked")
    assert (event.subject, event.outcome, event.reason) == ("ada", "ok", "lost phone")
    assert event.request_id == "5f2b8c1e9d3a4f60b7c8d9e0f1a2b3c4"


@pytest.mark.sec(59)
@pytest.mark.parametrize(
    "secret",
    [
        "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyX2lkIjoiam9obiJ9.c2lnbmF0dXJl",
        "tks_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJK",
        "the-stream-secret-of-the-settings-0123456789",
    ],
)
def test_secret_in_a_reason_is_masked_before_it_is_written(database, trail, secret, monkeypatch):
    monkeypatch.setattr(redaction, "_secrets", ())
    redaction.register_secrets(["the-stream-secret-of-the-settings-0123456789"])
    write(database, reason=f"leaked: {secret}")
    (event,) = trail.page(limit=1, filters={})
    assert event.reason.startswith("leaked: ")
    with database.read() as connection:
        rows = connection.execute(sa.select(audit_events)).all()
    assert secret not in json.dumps([list(row) for row in rows])


COLUMNS = "id, time, actor, action, subject, outcome, request_id, reason"
FORGED = "time, 'forger', action, subject, outcome, request_id, reason FROM audit_events"
OF_BOTH = {
    "updated": "UPDATE audit_events SET actor = 'forger'",
    "deleted": "DELETE FROM audit_events",
    "picked": "DELETE FROM audit_events WHERE subject = 'ada'",
    "upserted": (
        f"INSERT INTO audit_events ({COLUMNS}) SELECT id, {FORGED} WHERE true"
        " ON CONFLICT (id) DO UPDATE SET actor = 'forger'"
    ),
}
OF_SQLITE = {
    "replaced": f"INSERT OR REPLACE INTO audit_events ({COLUMNS}) SELECT id, {FORGED}",
    "updated or replaced": "UPDATE OR REPLACE audit_events SET actor = 'forger'",
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
def test_database_refuses_to_change_or_delete_an_event(database, trail, statement):
    """In any statement."""
    write(database)
    before = trail.page(limit=EVERYTHING, filters={})
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), database.write() as tx:
        tx.exec_driver_sql(statement)
    assert trail.page(limit=EVERYTHING, filters={}) == before


@pytest.mark.sec(59)
@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_event_cannot_be_replaced_by_its_row_number(database, trail):
    """SQLite numbers the rows of a table by default, which is a second key."""
    write(database)
    before = trail.page(limit=EVERYTHING, filters={})
    forged = f"INSERT OR REPLACE INTO audit_events (rowid, {COLUMNS}) SELECT 1, 'evt_0', {FORGED}"
    with pytest.raises(Refusal), database.write() as tx:
        tx.exec_driver_sql(forged)
    assert trail.page(limit=EVERYTHING, filters={}) == before


def test_purge_deletes_exactly_the_expired_events(database, trail, purge):
    """It deletes in batches and is audited; younger events stay protected."""
    now, context = time.time(), ActionContext("svc.backend")
    with database.write() as tx:
        for number in range(25):
            time_of_event = now - RETENTION - 60 + number
            record(tx, context, Action.USER_REVOKED, f"old-{number}", now=time_of_event)
    write(database, "young", at=now - RETENTION + 60)
    assert [purge(batch=10) for _ in range(3)] == [True, True, False]
    left = trail.page(limit=EVERYTHING, filters={})
    assert [event.action for event in left] == ["audit:purged"] * 3 + ["user:revoked"]
    assert left[-1].subject == "young"
    assert {(event.actor, event.subject) for event in left[:3]} == {("service:retention", "audit")}
    assert sum(event.details["events"] for event in left[:3]) == 25
    assert purge() is False
    assert len(trail.page(limit=EVERYTHING, filters={})) == len(left)
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), database.write() as tx:
        tx.execute(audit_events.delete())


def test_follow_yields_each_event_once(database, trail):
    """First the latest events, then new ones, also one with an earlier date."""
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


def test_follow_after_a_pause_misses_no_event(database, clock):
    following = AuditTrail(database, clock).follow(0, {})

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


def test_follow_applies_the_filters_to_new_events(database, trail):
    write(database, "a")
    following = trail.follow(0, {"actor": "cli:root"})
    assert next(following) == []
    write(database, "b")
    write(database, "c", actor="cli:root")
    assert [event.subject for event in next(following)] == ["c"]


def test_event_ids_sort_by_time_and_serial():
    times = [0, 1_795_000_000.001, 1_795_000_000.002, 1_795_000_001, 2**33]
    ids = [event_id(now, serial, "0" * 8) for now in times for serial in range(3)]
    assert ids == sorted(ids)
    edge = first_id_at(1_795_000_000.002)
    assert ids[5] < edge < ids[6]
