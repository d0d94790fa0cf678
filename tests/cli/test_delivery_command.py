"""`tokensvc delivery`: list what Stream does not have yet, and retry."""

import time

import pytest
import sqlalchemy as sa

from tokensvc.audit.tables import audit_events
from tokensvc.cli.actions import operator
from tokensvc.database.engine import Database
from tokensvc.stream.delivery import store
from tokensvc.stream.delivery.tables import deliveries


@pytest.fixture
def database(tokensvc, tmp_path):
    """Yield the database of the commands, with deliveries in each state."""
    tokensvc.settings["TOKENSVC_STREAM__DELIVERY"] = "on"
    assert tokensvc("migrate").code == 0
    opened = Database.open(f"sqlite:///{tmp_path / 'tokensvc.db'}", pool_size=1)
    now = time.time()
    with opened.write() as tx:
        store.mark_pending(tx, "app", "", now)
        for state in ("pending", "failed", "absent", "obsolete", "applied"):
            store.mark_pending(tx, "user", state, now)
            columns = {"state": state, "due_at": int(now) + 500, "attempts": 3}
            tx.execute(deliveries.update().where(deliveries.c.subject == state).values(columns))
        store.mark_pending(tx, "profile", "failed", now)
        error = deliveries.update().where(deliveries.c.state == "failed")
        tx.execute(error.values(last_error="code 4: \x1b[31mno\nuser"))
    yield opened
    opened.close()


def rows(database, **columns):
    with database.read() as connection:
        return connection.execute(sa.select(deliveries).filter_by(**columns)).all()


def test_list_shows_open_deliveries(tokensvc, database):
    """Deliveries that are applied or obsolete are listed only on demand."""
    ended = tokensvc("delivery", "list")
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert lines[0].split() == ["WHAT", "USER", "STATE", "SINCE", "NEXT", "TRY", "TRIED", "ERROR"]
    shown = {tuple(line.split()[:2]) for line in lines[1:] if not line.startswith("everyone")}
    assert shown == {
        ("cut-off", "pending"),
        ("cut-off", "failed"),
        ("cut-off", "absent"),
        ("profile", "failed"),
    }
    assert sum(line.startswith("everyone") for line in lines) == 1


@pytest.mark.sec(58)
def test_error_of_stream_is_escaped(tokensvc, database):
    """Control characters do not reach the terminal."""
    out = tokensvc("delivery", "list", "--state", "failed").out
    assert "\\x1b[31mno\\nuser" in out
    assert "\x1b" not in out


def test_json_list_has_all_columns_and_is_filtered(tokensvc, database):
    (row,) = tokensvc("delivery", "list", "--kind", "user", "--state", "obsolete", "--json").json
    assert (row["subject"], row["state"], row["version"], row["attempts"]) == (
        "obsolete",
        "obsolete",
        1,
        3,
    )
    found = tokensvc("delivery", "list", "--limit", "2", "--json").json
    assert len(found) == 2
    both = tokensvc("delivery", "list", "--state", "obsolete", "--state", "applied", "--json").json
    assert {row["state"] for row in both} == {"obsolete", "applied"}


def test_retry_makes_failed_and_pending_deliveries_due(tokensvc, database):
    """Deliveries of absent users keep waiting."""
    assert tokensvc("delivery", "retry", "--json").json == {"due": 2}
    assert rows(database, subject="failed", kind="user")[0].due_at <= time.time()
    assert rows(database, subject="pending")[0].due_at <= time.time()
    assert rows(database, subject="absent")[0].due_at > time.time()


def test_retry_of_named_users_sends_their_states_again(tokensvc, database):
    """Applied states too, and the app's."""
    ended = tokensvc("delivery", "retry", "applied", "obsolete", "unknown-user", "--app")
    assert ended.out == "Deliveries that are due now: 3\n"
    for subject in ("applied", "obsolete"):
        (row,) = rows(database, subject=subject)
        assert (row.state, row.version) == ("pending", 2)
    assert rows(database, kind="app")[0].version == 2


def events(database):
    with database.read() as connection:
        retried = sa.select(audit_events).filter_by(action="delivery:retried")
        found = connection.execute(retried.order_by(audit_events.c.id)).all()
    return [(event.actor, event.subject, event.reason) for event in found]


@pytest.mark.sec(59)
def test_retry_of_named_users_is_audited(tokensvc, database):
    """One event for each user with a delivery, and one for the app."""
    with database.write() as tx:
        store.mark_pending(tx, "user", "ada", time.time())
        store.mark_pending(tx, "profile", "ada", time.time())
    tokensvc("delivery", "retry", "ada", "obsolete", "unknown-user", "--app", "--reason", "by hand")
    assert events(database) == [
        (operator(), subject, "by hand") for subject in ("delivery:app", "ada", "obsolete")
    ]


@pytest.mark.sec(59)
def test_retry_of_everything_is_audited_if_it_changes_something(tokensvc, database):
    for _ in range(2):
        tokensvc("delivery", "retry", "--reason", "mended")
    assert events(database) == [(operator(), "delivery:due", "mended")]


def test_empty_list_and_delivery_off_are_explained(tokensvc, database):
    ended = tokensvc("delivery", "list", "--kind", "app", "--state", "obsolete")
    assert "Nothing to show: no delivery matches." in ended.out
    tokensvc.settings["TOKENSVC_STREAM__DELIVERY"] = "off"
    ended = tokensvc("delivery", "list")
    assert "stream.delivery is off" in ended.err
    assert "cut-off" in ended.out
