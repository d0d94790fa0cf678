"""Codes, counters of failures and addresses that nothing reads are deleted in batches."""

import pytest

from tests.sign_in.attempts import CAFE, HOME, Attempts, delayed
from tokensvc.accounts.lock_out import store as lock_out_store
from tokensvc.accounts.lock_out.rules import FORGET_SECONDS
from tokensvc.accounts.lock_out.tables import known_addresses, sign_in_failures
from tokensvc.accounts.tables import account_codes
from tokensvc.core.actions import ActionContext

CONTEXT = ActionContext("svc.backend")
TABLES = (account_codes, sign_in_failures, known_addresses)


@pytest.fixture
def world(database):
    """Return attempts to sign in, of the account `ada`."""
    world = Attempts(database)
    world.create()
    return world


@pytest.mark.sec(42)
def test_purge_keeps_the_last_failures_without_an_account(world, monkeypatch):
    """Otherwise guesses of many IDs would fill the database. Those of accounts stay."""
    monkeypatch.setattr(lock_out_store, "MAX_WITHOUT_ACCOUNT", 3)
    world.fail(1)
    for number in range(5):
        world.fail(1, f"unknown-{number}")
    assert not world.purge()
    kept = [number for number in range(5) if world.failures(f"unknown-{number}")]
    assert (kept, world.failures("ada")) == ([2, 3, 4], {"unknown": 1})


@pytest.mark.sec(42)
def test_failures_at_an_address_that_the_account_does_not_know_are_purged(world):
    world.sign_in(address=HOME)
    world.fail(60)
    for address in (HOME, CAFE):
        assert world.outcome(address=address) == delayed(900)
    world.clock.now += FORGET_SECONDS + 1
    assert not world.purge()
    assert world.failures(address=HOME) == {"unknown": 60, "known": 1}
    assert world.failures(address=CAFE) == {"unknown": 60}
