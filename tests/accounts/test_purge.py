"""Codes, counters of failures and addresses that nothing reads are deleted in batches."""

import pytest
import sqlalchemy as sa

from testing.query_plans import reads_all_rows, recorded_plans
from tests.accounts.attempts import HOME
from tokensvc.accounts.lock_out import KNOWN_ADDRESS_SECONDS
from tokensvc.accounts.rules import RESET_CODE_TTL
from tokensvc.core.actions import ActionContext
from tokensvc.database.deletion import Purge
from tokensvc.database.tables import account_codes, known_addresses, sign_in_failures

CONTEXT = ActionContext("svc.backend")
TABLES = (account_codes, sign_in_failures, known_addresses)


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_purge_deletes_expired_codes_only(parts, clock):
    parts.sign_up()
    parts.codes.create_reset_code("ada", CONTEXT)
    invitation = parts.codes.invite(None, CONTEXT)

    def codes():
        with parts.database.read() as connection:
            return connection.scalar(sa.select(sa.func.count()).select_from(account_codes))

    clock.now += RESET_CODE_TTL - 1
    parts.purge.step()
    assert codes() == 2
    clock.now += 1
    parts.purge.step()
    assert codes() == 1
    clock.now = invitation.expires_at
    parts.purge.step()
    assert codes() == 0


@pytest.mark.sec(42)
@pytest.mark.parametrize(
    ("failures", "axis", "days"),
    [
        (4, "unknown", 1),
        (5, "unknown", 30),
        (59, "unknown", 30),
        (60, "unknown", 90),
        (9, "known", 30),
        (10, "known", 90),
    ],
)
def test_purge_deletes_a_counter_the_later_the_more_failures_it_has(world, failures, axis, days):
    world.set_failures(failures, axis=axis)
    world.clock.now += days * 86400 - 1000
    assert not world.purge.step()
    assert world.counts() == (1, 0)
    world.clock.now += 1
    assert not world.purge.step()
    assert world.counts() == (0, 0)


@pytest.mark.sec(42)
def test_stopped_account_stays_stopped_after_purges(world):
    """At most 100 consecutive failures in all, however much time passes."""
    world.set_failures(59)
    world.fail(1)
    world.clock.now += 1000 * 86400
    assert not world.purge.step()
    code, _, is_hashed = world.outcome()
    assert (code, is_hashed) == ("rate_limited", False)


def test_purge_deletes_old_addresses(world):
    world.sign_in(address=HOME)
    world.clock.now += KNOWN_ADDRESS_SECONDS
    world.create("ben")
    world.sign_in("ben", address=HOME)
    assert not world.purge.step()
    assert world.counts() == (0, 2)
    world.clock.now += 1
    assert not world.purge.step()
    assert world.counts() == (0, 1)


def add_old_rows(world, table, count):
    """Add rows that the next purge deletes."""
    members = {
        account_codes: {"kind": "invitation", "created_at": 0, "expires_at": 1},
        sign_in_failures: {"axis": "unknown", "failures": 1, "last_failed_at": 0},
        known_addresses: {"user_id": "ada", "last_signed_in_at": 0},
    }[table]
    key = next(column.name for column in table.primary_key if column.name not in members)
    rows = [{key: f"old {number}", **members} for number in range(count)]
    with world.database.write() as tx:
        tx.execute(table.insert(), rows)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_purge_deletes_in_batches(world, monkeypatch, table):
    monkeypatch.setattr(Purge, "batch", 2)
    add_old_rows(world, table, 5)
    assert [world.purge.step() for _ in range(3)] == [True, True, False]
    assert world.count(table) == 0


def test_purge_uses_indexes(world, monkeypatch):
    """It reads the rows to delete, and no others."""
    monkeypatch.setattr(Purge, "batch", 2)
    for table in TABLES:
        add_old_rows(world, table, 2_000)
        if world.database.dialect == "postgresql":
            with world.database.write() as tx:
                tx.exec_driver_sql(f"ANALYZE {table.name}")
    with recorded_plans(world.database) as plans:
        assert world.purge.step()
    assert not [plan for plan in plans if reads_all_rows(plan)]
    for index in ("account_codes_by_expiry", "sign_in_failures_by_time", "known_addresses_by_time"):
        assert [plan for plan in plans if index in plan]
