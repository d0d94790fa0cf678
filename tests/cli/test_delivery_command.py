"""`tokensvc delivery`: what Stream has not been told, for people and machines, and trying again."""

import getpass
import time

import pytest
import sqlalchemy as sa

from tokensvc.database.engine import Database
from tokensvc.database.tables import audit_events, deliveries
from tokensvc.delivery import store


@pytest.fixture
def database(tokensvc, tmp_path):
    """Give the database of the commands, with deliveries in each state."""
    tokensvc.settings["TOKENSVC_STREAM__DELIVERY"] = "on"
    assert tokensvc("migrate").code == 0
    opened = Database.open(f"sqlite:///{tmp_path / 'tokensvc.db'}", pool_size=1)
    now = time.time()
    with opened.write() as tx:
        store.mark_pending(tx, "app", "", now)
        for state in ("pending", "failed", "absent", "moot", "applied"):
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


def test_what_is_open_is_listed(tokensvc, database):
    """Everyone's act, users' and profiles that wait; what is applied or moot only if asked for."""
    ended = tokensvc("delivery", "list")
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert lines[0].split() == ["WHAT", "USER", "STATE", "SINCE", "NEXT", "TRY", "TRIED", "ERROR"]
    told = {tuple(line.split()[:2]) for line in lines[1:] if not line.startswith("everyone")}
    assert told == {
        ("cut-off", "pending"),
        ("cut-off", "failed"),
        ("cut-off", "absent"),
        ("profile", "failed"),
    }
    assert sum(line.startswith("everyone") for line in lines) == 1


@pytest.mark.sec(58)
def test_streams_words_steer_no_terminal(tokensvc, database):
    """An error is shown as text, whatever is in it."""
    out = tokensvc("delivery", "list", "--state", "failed").out
    assert "\\x1b[31mno\\nuser" in out
    assert "\x1b" not in out


def test_machines_read_json(tokensvc, database):
    """Every column, filtered by kind and state, at most so many."""
    (row,) = tokensvc("delivery", "list", "--kind", "user", "--state", "moot", "--json").json
    assert (row["subject"], row["state"], row["version"], row["attempts"]) == ("moot", "moot", 1, 3)
    found = tokensvc("delivery", "list", "--limit", "2", "--json").json
    assert len(found) == 2
    both = tokensvc("delivery", "list", "--state", "moot", "--state", "applied", "--json").json
    assert {row["state"] for row in both} == {"moot", "applied"}


def test_retry_makes_due_what_waits(tokensvc, database):
    """What has failed or waits for another attempt; not what waits for its user."""
    assert tokensvc("delivery", "retry", "--json").json == {"due": 2}
    assert rows(database, subject="failed", kind="user")[0].due_at <= time.time()
    assert rows(database, subject="pending")[0].due_at <= time.time()
    assert rows(database, subject="absent")[0].due_at > time.time()


def test_named_states_are_sent_again(tokensvc, database):
    """Also those that Stream is known to hold, and everyone's."""
    ended = tokensvc("delivery", "retry", "applied", "moot", "nobody", "--app")
    assert ended.out == "3 due now.\n"
    for subject in ("applied", "moot"):
        (row,) = rows(database, subject=subject)
        assert (row.state, row.version) == ("pending", 2)
    assert rows(database, kind="app")[0].version == 2


def events(database):
    with database.read() as connection:
        retried = sa.select(audit_events).filter_by(action="delivery:retried")
        found = connection.execute(retried.order_by(audit_events.c.id)).all()
    return [(event.actor, event.subject, event.reason) for event in found]


@pytest.mark.sec(59)
def test_what_is_sent_again_is_audited(tokensvc, database):
    """Each user once, whatever is sent of them, and everyone; nobody of whom nothing is known."""
    with database.write() as tx:
        store.mark_pending(tx, "user", "ada", time.time())
        store.mark_pending(tx, "profile", "ada", time.time())
    tokensvc("delivery", "retry", "ada", "moot", "nobody", "--app", "--reason", "by hand")
    operator = f"cli:{getpass.getuser()}"
    assert events(database) == [
        (operator, each, "by hand") for each in ("delivery:app", "ada", "moot")
    ]


@pytest.mark.sec(59)
def test_a_retry_of_everything_is_audited(tokensvc, database):
    """Once, and only where it has changed when something is tried."""
    for _ in range(2):
        tokensvc("delivery", "retry", "--reason", "mended")
    assert events(database) == [(f"cli:{getpass.getuser()}", "delivery:due", "mended")]


def test_nothing_to_show_is_said(tokensvc, database):
    """An empty table would leave a person wondering; so would a service that tells nobody."""
    ended = tokensvc("delivery", "list", "--kind", "app", "--state", "moot")
    assert "Nothing to show" in ended.out
    tokensvc.settings["TOKENSVC_STREAM__DELIVERY"] = "off"
    ended = tokensvc("delivery", "list")
    assert "stream.delivery is off" in ended.err
    assert "cut-off" in ended.out
