"""The check of a password: lock-out, what one attempt changes, and what happens in between."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from testing.standings import raise_epoch, suspend
from testing.waiting import wait_until
from tests.sign_in.attempts import (
    CAFE,
    HASHES,
    HOME,
    PASSWORD,
    REFUSED,
    delayed,
)
from tokensvc.accounts.lock_out import store as lock_outs
from tokensvc.accounts.lock_out.rules import KNOWN_ADDRESS_SECONDS
from tokensvc.core.actions import Target

either_id = pytest.mark.parametrize("user_id", ["ada", "unknown-user"])


@pytest.mark.sec(42)
@either_id
def test_failures_delay_the_next_attempt(world, user_id):
    """The same for an ID without an account."""
    for _ in range(5):
        assert world.outcome(user_id) == REFUSED
    assert world.outcome(user_id) == delayed(1)
    assert world.outcome(user_id, PASSWORD) == delayed(1)
    world.clock.now += 1
    assert world.outcome(user_id) == REFUSED
    assert world.outcome(user_id) == delayed(2)
    world.clock.now += 1
    assert world.outcome(user_id) == delayed(1)
    assert world.failures(user_id, CAFE) == {"unknown": 6, "known": 4}


@pytest.mark.sec(42)
@either_id
def test_address_has_few_attempts_on_a_stopped_id(world, user_id):
    """Each needs a hash. Beyond them, none is computed."""
    world.set_failures(60, user_id)
    for _ in range(5):
        assert world.outcome(user_id) == delayed(900)
    assert world.outcome(user_id) == delayed(900, is_hashed=False)
    for _ in range(5):
        world.clock.now += 1000
        assert world.outcome(user_id) == delayed(900)
    world.clock.now += 10 * 365 * 86400
    assert world.outcome(user_id, PASSWORD) == delayed(900, is_hashed=False)
    assert world.outcome(user_id, address=HOME) == delayed(900)


@pytest.mark.sec(38)
@pytest.mark.parametrize("failures", [0, 5, 60])
def test_wrong_passwords_do_not_show_which_addresses_an_account_knows(world, failures):
    """At a known address, at another one, and for an ID without an account."""
    world.sign_in(address=HOME)
    classes = [("ada", HOME), ("ada", CAFE), ("unknown-user", HOME)]
    outcomes = []
    for user_id, address in classes:
        if failures:
            world.set_failures(failures, user_id)
        before = world.clock.now
        outcomes.append([])
        for wait in (0, 0, 0, 0, 0, 0, 0, 1, 2, 900, 0, 900, 900, 900, 900, 900):
            world.clock.now += wait
            outcomes[-1].append(world.outcome(user_id, address=address))
        world.clock.now = before
        with world.database.write() as tx:
            lock_outs.unlock(tx, user_id, HASHES)
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert {result[0] for result in outcomes[0]} <= {"credentials_invalid", "rate_limited"}


@pytest.mark.sec(42)
@either_id
def test_last_possible_failure_stops_the_attempts_until_an_unlock(world, user_id):
    world.set_failures(59, user_id)
    assert world.outcome(user_id) == REFUSED
    world.clock.now += 10 * 365 * 86400
    assert world.outcome(user_id, PASSWORD) == delayed(900)
    with world.database.write() as tx:
        assert lock_outs.unlock(tx, user_id, HASHES)
        assert not lock_outs.unlock(tx, user_id, HASHES)
    assert world.outcome(user_id) == REFUSED
    assert world.failures(user_id) == {"unknown": 1}


@pytest.mark.sec(42)
def test_number_of_failures_stays_until_a_success(world):
    """Four guesses a day are counted together; only the delay passes."""
    for day in range(1, 16):
        world.fail(4)
        assert world.failures() == {"unknown": 4 * day}
        world.clock.now += 100 * 86400
        assert not world.purge()
    assert world.outcome(password=PASSWORD) == delayed(900)
    with world.database.write() as tx:
        assert lock_outs.unlock(tx, "ada", HASHES)
    world.fail(59)
    assert world.outcome(password=PASSWORD) == ("ok", None, True)
    assert world.failures() == {}


@pytest.mark.sec(59)
@either_id
def test_stop_leaves_one_event(world, user_id):
    world.set_failures(58, user_id)
    world.fail(2, user_id)
    assert world.outcome(user_id) == delayed(900)
    subject = "ada" if user_id == "ada" else f"unknown:{HASHES.of_user_id(user_id)}"
    assert world.events()[1:] == [
        ("account:signed_in", subject, "refused", world.events()[0][3]),
        ("account:locked", subject, "ok", {"failures_from": "all addresses"}),
        world.events()[0],
    ]


@pytest.mark.sec(42)
def test_failures_from_elsewhere_neither_delay_nor_stop_the_user(world):
    world.sign_in(address=HOME)
    for failures, wait in ((4, 1), (59, 900)):
        world.set_failures(failures)
        assert world.outcome(address=CAFE) == REFUSED
        assert world.outcome(password=PASSWORD, address=CAFE) == delayed(wait)
        assert world.outcome(password=PASSWORD, address=HOME) == ("ok", None, True)


@pytest.mark.sec(42)
def test_failures_at_one_known_address_neither_delay_nor_stop_the_user_at_another(world):
    for address in (HOME, CAFE):
        world.sign_in(address=address)
    world.set_failures(60)
    world.set_failures(9, kind="known")
    assert world.outcome(address=CAFE) == delayed(900)
    details = {"failures_from": "a known address"}
    assert world.events()[-1] == ("account:locked", "ada", "ok", details)
    world.clock.now += 1000
    assert world.outcome(password=PASSWORD, address=CAFE) == delayed(900, is_hashed=False)
    assert world.outcome(password=PASSWORD, address=HOME) == ("ok", None, True)


@pytest.mark.sec(42)
def test_unlock_forgets_the_failures_of_known_addresses(world):
    world.sign_in(address=HOME)
    world.set_failures(60)
    world.set_failures(10, kind="known", address=HOME)
    with world.database.write() as tx:
        assert lock_outs.unlock(tx, "ada", HASHES)
    assert world.failures() == {}


@pytest.mark.sec(42)
def test_only_the_addresses_of_the_last_sign_ins_are_known(world):
    """Otherwise the failures of an account would grow with the number of its addresses."""
    addresses = [f"192.0.2.{number}" for number in range(10, 15)]
    for address in addresses:
        world.sign_in(address=address)
        world.clock.now += 1
    world.set_failures(60)
    assert world.outcome(password=PASSWORD, address=addresses[0]) == delayed(900)
    for address in addresses[1:]:
        world.set_failures(60)
        assert world.outcome(password=PASSWORD, address=address) == ("ok", None, True)


@pytest.mark.sec(42)
def test_success_resets_the_shared_counter_and_that_of_its_address(world):
    for address in (HOME, CAFE):
        world.sign_in(address=address)
    world.set_failures(60)
    for address, failures in ((HOME, 2), (CAFE, 3)):
        for _ in range(failures):
            assert world.outcome(address=address) == delayed(900)
    world.sign_in(address=HOME)
    assert world.failures(address=HOME) == {}
    assert world.failures(address=CAFE) == {"known": 3}


def test_known_address_is_one_of_this_account(world):
    """An attacker who has an account does not get the counter of another one."""
    world.create("mallory")
    world.sign_in("mallory", address=CAFE)
    world.set_failures(60)
    assert world.outcome(password=PASSWORD, address=CAFE) == delayed(900)


@pytest.mark.parametrize(("seconds", "is_known"), [(-1, True), (0, False)])
def test_address_that_was_not_used_for_thirty_days_is_unknown(world, seconds, is_known):
    world.sign_in(address=HOME)
    world.clock.now += KNOWN_ADDRESS_SECONDS - 1
    world.sign_in(address=HOME)  # known from now on, again
    world.clock.now += KNOWN_ADDRESS_SECONDS + seconds
    world.set_failures(60)
    expected = ("ok", None, True) if is_known else delayed(900)
    assert world.outcome(password=PASSWORD, address=HOME) == expected


@pytest.mark.sec(42)
@either_id
def test_attempts_at_the_same_moment_do_not_pass_the_delay(world, user_id):
    """Each counts before it is hashed: only five get that far, and five that are refused then."""
    all_refused = threading.Barrier(11)
    world.hasher.meanwhile = all_refused.wait
    with ThreadPoolExecutor(12) as clients:
        attempts = [clients.submit(world.outcome, user_id) for _ in range(12)]
        wait_until(lambda: sum(attempt.done() for attempt in attempts) == 2, "two are refused")
        all_refused.wait()
    results = [attempt.result()[0] for attempt in attempts]
    assert sorted(results) == ["credentials_invalid"] * 5 + ["rate_limited"] * 7
    assert len(world.hasher.verified) == 10


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_right_passwords_at_the_same_moment_leave_no_failure(world):
    """A success deletes the counter for which another attempt waits. SQLite locks no single row."""
    with ThreadPoolExecutor(4) as clients:
        results = list(clients.map(lambda _: world.outcome(password=PASSWORD), range(100)))
    assert {result[0] for result in results} == {"ok"}
    assert world.failures() == {}


def test_attempt_that_no_thread_could_hash_is_no_failure(world):
    world.set_failures(4)
    world.hasher.is_busy = True
    for _ in range(3):
        assert world.outcome() == ("temporarily_unavailable", 2, False)
    assert world.failures() == {"unknown": 4}
    assert world.events() == []


@pytest.mark.sec(59)
def test_failed_sign_in_leaves_an_event_without_an_unknown_id(world):
    world.create("gone", password_hash=None, deleted_at=1)
    world.create("locked", password_hash=None)
    for user_id in ("ada", "gone", "locked", "my secret password"):
        assert world.outcome(user_id) == REFUSED
    unknown = f"unknown:{HASHES.of_user_id('my secret password')}"
    assert world.events() == [
        ("account:signed_in", "ada", "refused", {"cause": "wrong password"}),
        ("account:signed_in", "gone", "refused", {"cause": "deleted account"}),
        ("account:signed_in", "locked", "refused", {"cause": "no password"}),
        ("account:signed_in", unknown, "refused", {"cause": "unknown user"}),
    ]


@pytest.mark.sec(38)
def test_right_password_of_a_suspended_user_counts_as_a_failure(world):
    """A caller who knows that it is right gets no other counts, and so no other delays."""
    suspend(world.database, "ada")
    assert world.outcome(password=PASSWORD) == ("user_suspended", None, True)
    assert world.failures() == {"unknown": 1}
    assert world.events() == [("account:signed_in", "ada", "refused", {"cause": "suspended"})]


@pytest.mark.sec(33)
@pytest.mark.parametrize("target", [Target("ada"), Target(None)], ids=["user", "everyone"])
def test_action_while_the_password_is_hashed_refuses_the_sign_in(world, target):
    world.hasher.meanwhile = lambda: raise_epoch(world.database, target)
    assert world.outcome(password=PASSWORD) == REFUSED
    assert world.events() == [("account:signed_in", "ada", "refused", {"cause": "revoked"})]
    assert world.counts() == (1, 0)
