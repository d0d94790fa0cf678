"""Deletion of accounts: by a service, by an operator, and by the user."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from testing.accounts import PASSWORD, AccountParts
from testing.refused_writes import refuse_writes
from testing.service_clients import refusal_of
from testing.sessions import open_session
from tokensvc.accounts.settings import AccountSettings
from tokensvc.core.actions import ActionContext, Target
from tokensvc.core.errors import Code, Refusal
from tokensvc.revocations.store import unconfirmed_targets
from tokensvc.stream.delivery.store import status

CONTEXT = ActionContext("svc.backend", "left the company")


def opened_session(parts, user_id="ada"):
    """Open a session as a sign-in does."""
    with parts.database.write() as tx:
        return open_session(tx, parts.sessions, user_id)


@pytest.mark.sec(33, 59)
def test_deletion_ends_the_sessions_and_erases_the_password(database, clock, stream):
    """It is a sign-out everywhere, which Stream gets too; the user stays at Stream."""
    parts = AccountParts(database, clock, stream_url=stream.url)
    parts.sign_up(user={"id": "ada", "name": "Ada"})
    grant = opened_session(parts)
    parts.accounts.delete("ada", CONTEXT)
    account = parts.account()
    assert account.password_hash is None
    assert account.deleted_at is not None
    assert parts.sessions.read_open(grant.family.id) is None
    assert parts.revocations.state(Target("ada")).revocation.kind == "deletion"
    with database.read() as connection:
        assert status(connection, "user", "ada").state == "pending"
    assert parts.events()[-1] == ("svc.backend", "account:deleted", "ada")
    assert refusal_of(parts.accounts.delete, "ada", CONTEXT).code is Code.NOT_FOUND


def test_deletion_is_confirmed_before_the_response(parts):
    """A request that read the standing before the commit may mint until the commit."""
    parts.sign_up()
    parts.accounts.delete("ada", CONTEXT)
    assert unconfirmed_targets(parts.database, limit=1) == []


@pytest.mark.parametrize("table", ["audit_events", "revocations"])
def test_deletion_is_atomic(parts, table):
    """If the event or the revocation cannot be written, the account stays."""
    parts.sign_up()
    refuse_writes(parts.database, table)
    with pytest.raises((sa.exc.DBAPIError, sqlite3.DatabaseError, Refusal)):
        parts.accounts.delete("ada", CONTEXT)
    assert parts.has_password(PASSWORD)


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_user_deletes_the_account_only_after_a_recent_sign_in(parts, clock):
    """A refresh does not make the sign-in recent."""
    parts.sign_up()
    old = int(clock.now) - 301
    refused = refusal_of(parts.accounts.delete_own, "ada", old)
    assert (refused.code, refused.max_age) == (Code.SIGN_IN_REQUIRED, 300)
    assert refused.members == {"sign_in_after": old + 1}
    assert parts.has_password(PASSWORD)
    parts.accounts.delete_own("ada", old + 1)
    assert parts.events()[-1] == ("ada", "account:deleted", "ada")


def test_service_needs_the_scope_to_delete(closed_world):
    world = closed_world
    assert world.command("accounts", "create", "chat-zoe", stdin=PASSWORD).code == 0
    without = world.client_with("minter", "tokens:mint", "users:write")
    path = "/v1/accounts/chat-zoe"
    assert without.request("DELETE", path).code == "insufficient_scope"
    admin = world.client_with("deleter", "accounts:write")
    assert admin.request("DELETE", path, query={"reason": "left"}).status == 204
    assert admin.request("DELETE", path).status == 404
    (event,) = world.operator.get("/v1/audit", query={"action": "account:deleted"}).json["items"]
    assert (event["actor"], event["subject"], event["reason"]) == (
        "svc.deleter",
        "chat-zoe",
        "left",
    )


@pytest.mark.parametrize(("erases", "erased"), [(None, True), (False, False), (True, True)])
def test_setting_decides_whether_a_deletion_erases_unless_the_request_says_it(
    database, clock, erases, erased
):
    settings = AccountSettings(sign_up="open", deletion_erases=True)
    parts = AccountParts(database, clock, settings)
    parts.sign_up(user={"id": "ada", "name": "Ada"})
    assert parts.accounts.delete("ada", CONTEXT, erases=erases) is erased
    state = parts.revocations.state(Target("ada"))
    assert (state.erasure is not None) == erased
    assert parts.account().deleted_at is not None
    with database.read() as connection:
        assert bool(parts.deliveries.profiles(connection, ["ada"])) != erased
    assert unconfirmed_targets(database, limit=1) == []


def test_sign_up_during_an_erasure_gets_no_account(database, clock):
    """Whichever is first: the ID is reserved, and the account of a sign-up before is deleted."""
    parts = AccountParts(database, clock)
    hash_password = parts.hasher.hash

    def erase_then_hash(password):
        parts.erasures.erase("ada", CONTEXT)
        return hash_password(password)

    parts.hasher.hash = erase_then_hash
    assert refusal_of(parts.sign_up).code is Code.USER_ID_TAKEN
    parts.hasher.hash = hash_password
    parts.sign_up("bob")
    parts.erasures.erase("bob", CONTEXT)
    for user_id in ("ada", "bob"):
        assert parts.account(user_id).password_hash is None
        invited = refusal_of(parts.codes.invite, user_id, CONTEXT)
        assert invited.code is Code.USER_ERASED


@pytest.mark.parametrize("table", ["audit_events", "revocations", "deliveries"])
def test_erasure_is_atomic(parts, table):
    parts.sign_up()
    refuse_writes(parts.database, table)
    with pytest.raises((sa.exc.DBAPIError, sqlite3.DatabaseError, Refusal)):
        parts.erasures.erase("ada", CONTEXT)
    assert parts.has_password(PASSWORD)


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_deletions_and_erasures_of_one_user_do_not_wait_for_each_other(database, clock):
    """They lock rows in one order."""
    parts = AccountParts(database, clock)
    users = [f"user-{number}" for number in range(20)]
    for user_id in users:
        parts.sign_up(user_id)

    def act(user_id):
        with ThreadPoolExecutor(2) as both:
            erasing = both.submit(parts.erasures.erase, user_id, CONTEXT)
            deleting = both.submit(parts.accounts.delete, user_id, CONTEXT)
            erasing.result()
            try:
                deleting.result()
            except Refusal as refusal:
                assert refusal.code is Code.NOT_FOUND

    for user_id in users:
        act(user_id)
        assert parts.revocations.state(Target(user_id)).erasure is not None
