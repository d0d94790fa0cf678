"""Sign-in and change of the password, on either database."""

import sqlite3
import threading

import jwt
import pytest
import sqlalchemy as sa

from testing.accounts import PASSWORD
from testing.lock_waits import has_blocked_transaction
from testing.refused_writes import refuse_writes
from testing.waiting import wait_until
from tests.sign_in.attempts import CAFE, HOME
from tests.sign_in.passwords import PasswordWorld
from tokensvc.accounts import store as accounts
from tokensvc.core.actions import APP, ActionContext, Target
from tokensvc.core.errors import Code, Refusal

OPERATOR = ActionContext("svc.backend")
REFUSED = ("credentials_invalid", True)
NOT_HASHED = ("rate_limited", False)


@pytest.fixture
def world(database):
    world = PasswordWorld(database)
    world.create()
    return world


def test_sign_in_opens_a_session_of_the_client(world):
    response = world.open(client_id="web")
    (row,) = world.rows()
    assert (row.user_id, row.client_id, row.counter) == ("ada", "web", 0)
    claims = jwt.decode(response.access_token, options={"verify_signature": False})
    assert (claims["sub"], claims["sid"], claims["client_id"]) == ("ada", row.id, "web")
    assert (response.token_type, response.expires_in) == ("Bearer", 600)
    assert world.sessions.refresh(response.refresh_token, "web").family.id == row.id


@pytest.mark.sec(59)
def test_sign_in_leaves_an_event_with_its_session(world):
    world.open()
    (row,) = world.rows()
    assert world.events()[-1] == ("account:signed_in", "ada", "ok", {"session": row.id})


@pytest.mark.sec(59)
@pytest.mark.parametrize("password", [PASSWORD, "wrong"])
def test_sign_in_without_its_event_opens_no_session(world, password):
    refuse_writes(world.database, "audit_events")
    with pytest.raises((Refusal, sa.exc.DBAPIError, sqlite3.IntegrityError)) as raised:
        world.open(password=password)
    assert getattr(raised.value, "code", None) is not Code.CREDENTIALS_INVALID
    assert world.rows() == []
    assert world.failures() == {"unknown": 1}


@pytest.mark.sec(42)
def test_failures_of_an_address_stop_its_next_sign_in_before_the_hash(database):
    world = PasswordWorld(database, sign_in_limit="3/minute")
    world.create()
    assert world.outcome(password=PASSWORD) == ("ok", True)
    world.create("ben")
    for user_id in ("ada", "ben", "eve"):
        assert world.outcome(user_id) == REFUSED
    assert world.outcome("ben", PASSWORD) == NOT_HASHED
    assert world.outcome("ben", PASSWORD, HOME) == ("ok", True)
    world.clock.now += 60
    assert world.outcome("ben", PASSWORD) == ("ok", True)


@pytest.mark.sec(42, 71)
def test_failures_of_an_address_do_not_stop_accounts_that_know_it(database):
    """A wrong password gets the refusal that all others get, within the account's own counters."""
    world = PasswordWorld(database, sign_in_limit="2/hour")
    world.create()
    world.open()
    for _ in range(2):
        assert world.outcome("eve") == REFUSED
    for _ in range(5):
        with pytest.raises(Refusal) as refused:
            world.open(password="wrong")
        assert refused.value.reason == "limits.sign_in"
    assert world.failures(address=CAFE) == {"unknown": 5}
    assert world.outcome(password=PASSWORD) == ("ok", True)
    world.set_failures(60)
    world.set_failures(10, kind="known")
    assert world.outcome(password=PASSWORD) == NOT_HASHED


@pytest.mark.sec(42)
def test_sign_ins_of_a_user_beyond_the_limit_are_refused_before_the_hash(database):
    world = PasswordWorld(database, mint_limit="2/minute")
    for user_id in ("ada", "ben"):
        world.create(user_id)
    for _ in range(2):
        assert world.outcome(password=PASSWORD) == ("ok", True)
    assert world.outcome(password=PASSWORD) == NOT_HASHED
    assert world.outcome("ben", PASSWORD) == ("ok", True)
    world.clock.now += 30
    assert world.outcome(password=PASSWORD) == ("ok", True)


@pytest.mark.sec(42)
def test_failed_sign_ins_use_up_no_limit_of_the_user(database):
    world = PasswordWorld(database, mint_limit="2/minute")
    world.create()
    for _ in range(4):
        assert world.outcome() == REFUSED
    assert world.outcome(password=PASSWORD) == ("ok", True)


@pytest.mark.sec(42)
def test_attempts_on_a_locked_account_count_for_their_address(database):
    world = PasswordWorld(database, sign_in_limit="2/minute")
    world.create()
    world.set_failures(60)
    for _ in range(2):
        assert world.outcome() == ("rate_limited", True)
    with pytest.raises(Refusal) as refused:
        world.open("ben")
    assert refused.value.reason == "limits.sign_in"


def test_busy_threads_count_for_no_limit(database):
    world = PasswordWorld(database, sign_in_limit="1/minute")
    world.create()
    world.hasher.is_busy = True
    for _ in range(3):
        assert world.outcome() == ("temporarily_unavailable", False)
    world.hasher.is_busy = False
    assert world.outcome(password=PASSWORD) == ("ok", True)


@pytest.mark.sec(33)
def test_revocation_of_a_password_change_is_confirmed(world):
    world.change()
    assert world.unconfirmed() == 0


@pytest.mark.sec(44)
def test_wrong_current_password_counts_as_a_failure(world):
    world.open()
    with pytest.raises(Refusal) as refused:
        world.change(current="wrong")
    assert refused.value.code is Code.CREDENTIALS_INVALID
    assert world.failures(address=CAFE) == {"unknown": 1}
    assert world.limiter.peek("sign_in", CAFE).remaining == 999


@pytest.mark.sec(42)
def test_locked_account_cannot_try_current_passwords(world):
    session = world.open()
    world.set_failures(60)
    world.set_failures(10, kind="known")
    with pytest.raises(Refusal) as refused:
        world.change()
    assert refused.value.code is Code.RATE_LIMITED
    assert world.live(session)


@pytest.mark.sec(40)
def test_rejected_new_password_costs_no_hash(world):
    with pytest.raises(Refusal) as refused:
        world.change(new="password")
    assert refused.value.code is Code.PASSWORD_REJECTED
    assert world.hasher.verified == []


@pytest.mark.sec(33)
def test_password_change_during_a_sign_in_refuses_the_old_password(world):
    """The old password was right when it was hashed."""
    changed = []

    def change_once():
        world.hasher.meanwhile = lambda: None
        changed.append(world.change())

    world.hasher.meanwhile = change_once
    assert world.outcome(password=PASSWORD) == REFUSED
    assert len(world.rows()) == 1
    assert world.live(changed[0])


@pytest.mark.sec(33)
def test_one_of_two_password_changes_at_the_same_moment_wins(world):
    winner = []

    def change_first():
        world.hasher.meanwhile = lambda: None
        winner.append(world.change(new="first of two new passwords"))

    world.hasher.meanwhile = change_first
    with pytest.raises(Refusal) as refused:
        world.change(new="second of two new passwords")
    assert refused.value.code is Code.CREDENTIALS_INVALID
    assert world.live(winner[0])
    assert world.outcome(password="first of two new passwords") == ("ok", True)


@pytest.mark.sec(33)
@pytest.mark.parametrize("target", [Target("ada"), APP], ids=["user", "everyone"])
def test_action_during_a_password_change_refuses_it(world, target):
    """Otherwise its new session would survive, for example, a suspension."""

    def act_once():
        world.hasher.meanwhile = lambda: None
        world.revocations.revoke(target, OPERATOR)

    world.hasher.meanwhile = act_once
    with pytest.raises(Refusal) as refused:
        world.change()
    assert refused.value.code is Code.CREDENTIALS_INVALID
    assert world.rows() == []
    assert world.outcome(password=PASSWORD) == ("ok", True)


@pytest.mark.sec(33)
@pytest.mark.parametrize("target", [Target("ada"), APP], ids=["user", "everyone"])
def test_session_whose_epochs_an_action_raises_before_it_begins_is_dead(world, monkeypatch, target):
    read = world.sign_ins.read_standing_again

    def read_and_revoke(attempt):
        found = read(attempt)
        world.revocations.revoke(target, OPERATOR)
        return found

    monkeypatch.setattr(world.sign_ins, "read_standing_again", read_and_revoke)
    assert not world.live(world.open())


@pytest.mark.sec(33)
@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_suspension_after_the_comparison_of_the_epochs_ends_the_new_session(world, monkeypatch):
    """
    It waits for the change. Otherwise the change would raise the epoch once more, and open.

    On SQLite there is one writer at a time.
    """
    suspension = threading.Thread(target=world.revocations.suspend, args=("ada", OPERATOR))
    end_reset_codes = accounts.end_reset_codes

    def suspend_and_end_reset_codes(*arguments):
        suspension.start()
        wait_until(
            lambda: not suspension.is_alive() or has_blocked_transaction(world.database),
            "the suspension waits or has ended",
        )
        end_reset_codes(*arguments)

    monkeypatch.setattr(accounts, "end_reset_codes", suspend_and_end_reset_codes)
    response = world.change()
    suspension.join()
    assert not world.live(response)


def test_responses_and_attempts_do_not_show_their_secrets(world):
    response = world.open()
    attempt = world.sign_ins.check("ada", PASSWORD, CAFE)
    shown = repr(response) + repr(attempt)
    for secret in (response.access_token, response.refresh_token, PASSWORD, attempt.stored_hash):
        assert secret not in shown
