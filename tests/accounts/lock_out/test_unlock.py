"""The end of a lock-out: by a service, by an operator, and by a reset of the password."""

import pytest

from testing.accounts import NEW_PASSWORD, PASSWORD
from testing.service_clients import refusal_of
from tokensvc.accounts.lock_out.tables import sign_in_failures
from tokensvc.core.actions import ActionContext
from tokensvc.core.errors import Code

CONTEXT = ActionContext("svc.support", "called us")

pytestmark = pytest.mark.sec(42)


def sign_in(world, user_id, password=PASSWORD):
    return world.anonymous.post("/v1/sessions", json={"user_id": user_id, "password": password})


def failure_of(parts, password="not the password"):
    """Return the code of an attempt that fails."""
    return refusal_of(parts.sign_ins.check, "ada", password, "192.0.2.1").code


def lengthen_delays(database):
    """Let every user with a failure have so many that the next attempt is delayed by minutes."""
    with database.write() as tx:
        tx.execute(sign_in_failures.update().values(failures=50))


@pytest.fixture
def locked_parts(parts):
    """Return the services of accounts with one account that has to wait."""
    parts.sign_up()
    assert failure_of(parts) is Code.CREDENTIALS_INVALID
    lengthen_delays(parts.database)
    return parts


@pytest.fixture
def locked(closed_world):
    """Return a function that creates an account that has to wait."""

    def locked(user_id):
        assert closed_world.command("accounts", "create", user_id, stdin=PASSWORD).code == 0
        assert sign_in(closed_world, user_id, "not the password").code == "credentials_invalid"
        lengthen_delays(closed_world.database)
        assert sign_in(closed_world, user_id).code == "rate_limited"
        return user_id

    return locked


@pytest.mark.sec(59)
def test_service_unlocks_an_account(closed_world, locked):
    """A repetition changes nothing."""
    world, user_id = closed_world, locked("chat-lena")
    path = f"/v1/accounts/{user_id}/lock"
    without = world.client_with("mint", "tokens:mint")
    assert without.request("DELETE", path).code == "insufficient_scope"
    support = world.client_with("support-lock", "accounts:write")
    for _ in range(2):
        assert support.request("DELETE", path, query={"reason": "called us"}).status == 204
    assert sign_in(world, user_id).status == 200
    assert support.request("DELETE", "/v1/accounts/chat-unknown/lock").status == 404
    query = {"action": "account:unlocked", "subject": user_id}
    (event,) = world.operator.get("/v1/audit", query=query).json["items"]
    assert (event["actor"], event["reason"]) == ("svc.support-lock", "called us")


def test_operator_unlocks_an_account(closed_world, locked):
    world, user_id = closed_world, locked("chat-mona")
    assert world.command("accounts", "unlock", user_id).code == 0
    assert sign_in(world, user_id).status == 200
    unknown = world.command("accounts", "unlock", "chat-unknown")
    assert (unknown.code, "no account" in unknown.err) == (1, True)


def test_reset_of_the_password_unlocks_the_account(locked_parts):
    code = locked_parts.codes.create_reset_code("ada", CONTEXT).code
    assert failure_of(locked_parts, PASSWORD) is Code.RATE_LIMITED
    locked_parts.codes.reset_password("ada", code, NEW_PASSWORD, lambda: None)
    assert locked_parts.sign_ins.check("ada", NEW_PASSWORD, "192.0.2.1").user_id == "ada"


def test_deleted_account_cannot_be_unlocked(locked_parts):
    locked_parts.accounts.delete("ada", CONTEXT)
    assert refusal_of(locked_parts.accounts.unlock, "ada", CONTEXT).code is Code.NOT_FOUND
