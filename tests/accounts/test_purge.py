"""Codes, counters of failures and addresses that nothing reads are deleted in batches."""

import pytest
import sqlalchemy as sa

from testing.query_plans import reads_all_rows, recorded_plans
from tests.accounts.attempts import CAFE, HOME, delayed
from tokensvc.accounts.lock_out import store as lock_out_store
from tokensvc.accounts.lock_out.rules import FORGET_SECONDS, KNOWN_ADDRESS_SECONDS
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
@pytest.mark.parametrize("axis", ["unknown", "known"])
def test_purge_deletes_failures_without_an_account_after_ninety_days(world, axis):
    world.set_failures(60, "unknown-user", axis)
    world.clock.now += FORGET_SECONDS - 1000
    assert not world.purge.step()
    assert world.counts() == (1, 0)
    world.clock.now += 1
    assert not world.purge.step()
    assert world.counts() == (0, 0)


@pytest.mark.sec(42)
def test_purge_keeps_the_last_failures_without_an_account(world, monkeypatch):
    """Otherwise guesses of many IDs would fill the database. Those of accounts stay."""
    monkeypatch.setattr(lock_out_store, "MAX_WITHOUT_ACCOUNT", 3)
    world.fail(1)
    for number in range(5):
        world.fail(1, f"unknown-{number}")
    assert not world.purge.step()
    kept = [number for number in range(5) if world.failures(f"unknown-{number}")]
    assert (kept, world.failures("ada")) == ([2, 3, 4], {"unknown": 1})


@pytest.mark.sec(42)
def test_failures_at_an_address_that_the_account_does_not_know_are_purged(world):
    world.sign_in(address=HOME)
    world.fail(60)
    for address in (HOME, CAFE):
        assert world.outcome(address=address) == delayed(900)
    world.clock.now += FORGET_SECONDS + 1
    assert not world.purge.step()
    assert world.failures(address=HOME) == {"unknown": 60, "known": 1}
    assert world.failures(address=CAFE) == {"unknown": 60}


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
    for index in (
        "account_codes_by_expiry",
        "sign_in_failures_without_account",
        "known_addresses_by_time",
    ):
        assert [plan for plan in plans if index in plan]
