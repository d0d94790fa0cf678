"""Reset codes: at a running service, and what a reset does in the database."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from testing.accounts import NEW_PASSWORD, PASSWORD, AccountParts, MeetingHasher
from testing.lock_waits import has_blocked_transaction
from testing.service_clients import refusal_of
from testing.sessions import open_session
from testing.waiting import wait_until
from tokensvc.accounts import store
from tokensvc.accounts.rules import RESET_CODE_TTL
from tokensvc.accounts.tables import account_codes
from tokensvc.core.actions import ActionContext, Target
from tokensvc.core.errors import Code, Refusal

CONTEXT = ActionContext("svc.backend", "forgot it")


@pytest.fixture(scope="module")
def admin(closed_world):
    return closed_world.client_with("support", "accounts:write", "tokens:mint")


def created(world, user_id):
    """Create an account as an operator does."""
    ended = world.command("accounts", "create", user_id, stdin=PASSWORD)
    assert ended.code == 0, ended.err
    return user_id


def reset(world, user_id, code, new_password=NEW_PASSWORD):
    body = {"code": code, "new_password": new_password}
    return world.anonymous.post(f"/v1/accounts/{user_id}/password", json=body)


def reset_in(parts, code, new_password=NEW_PASSWORD, user_id="ada"):
    return parts.codes.reset_password(user_id, code, new_password, lambda: None)


def codes_in(database):
    """Return the stored codes, with whether they were used."""
    with database.read() as connection:
        rows = connection.execute(sa.select(account_codes)).all()
    return {row.code_hash: row.used_at is not None for row in rows}


@pytest.mark.sec(44, 45, 59)
def test_user_sets_a_new_password_with_a_code_once(closed_world, admin):
    user_id = created(closed_world, "chat-ada")
    made = admin.post(f"/v1/accounts/{user_id}/reset-codes", json={"reason": "forgot it"})
    assert (made.status, made.headers["Location"]) == (201, f"/v1/accounts/{user_id}")
    code = made.json["code"]
    rejected = reset(closed_world, user_id, code, "short")
    assert (rejected.status, rejected.json["reasons"]) == (422, ["too_short"])
    assert reset(closed_world, user_id, code).status == 204
    again = reset(closed_world, user_id, code)
    assert (again.status, again.code) == (400, "code_invalid")
    events = admin_events(closed_world, user_id)
    assert events == [
        ("password:reset", user_id, None),
        ("reset_code:created", "svc.support", "forgot it"),
    ]


def admin_events(world, subject):
    """Return (action, actor, reason) of the events after the creation, newest first."""
    events = world.operator.get("/v1/audit", query={"subject": subject}).json["items"]
    assert events[-1]["action"] == "account:created"
    return [(event["action"], event["actor"], event["reason"]) for event in events[:-1]]


@pytest.mark.sec(45)
def test_code_of_another_user_is_refused(closed_world, admin):
    first, other = created(closed_world, "chat-bob"), created(closed_world, "chat-carl")
    code = admin.post(f"/v1/accounts/{first}/reset-codes").json["code"]
    assert reset(closed_world, other, code).code == "code_invalid"
    assert reset(closed_world, "chat-unknown", code).code == "code_invalid"
    assert reset(closed_world, first, code).status == 204


@pytest.mark.sec(45)
def test_invitation_sets_no_password(closed_world, admin):
    """The user has it still after an operator has created the account."""
    invitation = admin.post("/v1/invitations", json={"user_id": "chat-dan"}).json["invitation"]
    user_id = created(closed_world, "chat-dan")
    assert reset(closed_world, user_id, invitation).code == "code_invalid"


def test_user_without_an_account_gets_no_code(closed_world, admin):
    assert admin.post("/v1/accounts/chat-unknown/reset-codes").status == 404
    assert admin.post("/v1/accounts/UPPER/reset-codes").code == "user_id_invalid"
    without = closed_world.client_with("reader", "users:read")
    assert without.post("/v1/accounts/chat-ada/reset-codes").code == "insufficient_scope"
    assert without.post("/v1/invitations").code == "insufficient_scope"


@pytest.mark.sec(67)
def test_client_that_may_not_mint_gets_no_code_that_opens_a_users_session(closed_world):
    """Also with an access token that leaves the scope out. It invites new users only."""
    user_id = created(closed_world, "chat-eve")
    weak = closed_world.client_with("no mint", "accounts:write")
    both = closed_world.client_with("both", "accounts:write", "tokens:mint")
    form = {"grant_type": "client_credentials", "scope": "accounts:write"}
    token = both.post("/oauth/token", form=form).json["access_token"]
    for client in (weak, closed_world.with_token(token)):
        for refused in (
            client.post(f"/v1/accounts/{user_id}/reset-codes"),
            client.post("/v1/invitations", json={"user_id": "chat-new"}),
        ):
            assert (refused.status, refused.code) == (403, "insufficient_scope")
            assert "tokens:mint" in refused.json["detail"]
        assert client.post("/v1/invitations").status == 201
    assert both.post(f"/v1/accounts/{user_id}/reset-codes").status == 201
    assert both.post("/v1/invitations", json={"user_id": "chat-new"}).status == 201


@pytest.mark.sec(45)
@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_code_expires_after_ten_minutes(parts, clock):
    parts.sign_up()
    made = parts.codes.create_reset_code("ada", CONTEXT)
    assert made.expires_at == clock.now + RESET_CODE_TTL == clock.now + 600
    clock.now += 600
    assert refusal_of(reset_in, parts, made.code).code is Code.CODE_INVALID
    clock.now -= 1
    reset_in(parts, made.code)
    assert parts.has_password(NEW_PASSWORD)


@pytest.mark.sec(45)
def test_code_is_random_and_only_its_hash_is_stored(parts):
    """128 bits: 22 characters of base64url."""
    parts.sign_up()
    made = [parts.codes.create_reset_code("ada", CONTEXT).code for _ in range(16)]
    made += [parts.codes.invite(None, CONTEXT).invitation for _ in range(16)]
    assert {code[:4] for code in made} == {"tsp_", "tsi_"}
    assert {len(code) for code in made} == {4 + 22}
    assert min(len({*place}) for place in zip(*(code[4:] for code in made), strict=True)) > 1
    stored = " ".join(codes_in(parts.database))
    assert not [code for code in made if code[4:] in stored]


@pytest.mark.sec(33)
def test_reset_ends_sessions_and_other_codes(parts):
    parts.sign_up()
    with parts.database.write() as tx:
        grant = open_session(tx, parts.sessions)
    first, second = (parts.codes.create_reset_code("ada", CONTEXT).code for _ in range(2))
    reset_in(parts, first)
    assert parts.has_password(NEW_PASSWORD)
    assert parts.sessions.read_open(grant.family.id) is None
    state = parts.revocations.state(Target("ada"))
    assert (state.revocation.kind, state.sessions) == ("password", 0)
    assert refusal_of(reset_in, parts, second, PASSWORD).code is Code.CODE_INVALID


def test_reset_of_a_deleted_account_is_refused(parts):
    parts.sign_up()
    code = parts.codes.create_reset_code("ada", CONTEXT).code
    parts.accounts.delete("ada", CONTEXT)
    assert refusal_of(reset_in, parts, code).code is Code.CODE_INVALID
    assert parts.account().password_hash is None


@pytest.mark.sec(45)
@pytest.mark.parametrize("same_code", [True, False])
def test_two_resets_at_the_same_time_set_one_password(database, clock, same_code):
    """Also with two codes of the user, which do not wait for each other forever."""
    hasher = MeetingHasher()
    hasher.meets = False
    parts = AccountParts(database, clock, hasher=hasher)
    parts.sign_up()
    code, other = (parts.codes.create_reset_code("ada", CONTEXT).code for _ in range(2))
    hasher.meets = True

    def attempt(request):
        try:
            return reset_in(parts, *request) or request[1]
        except Refusal as refusal:
            return refusal.code

    requests = [(code, PASSWORD), (code if same_code else other, NEW_PASSWORD)]
    with ThreadPoolExecutor(2) as threads:
        results = list(threads.map(attempt, requests))
    assert results.count(Code.CODE_INVALID) == 1
    (winner,) = {*results} & {PASSWORD, NEW_PASSWORD}
    assert parts.has_password(winner)


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_resets_with_two_codes_do_not_wait_for_each_other(parts, monkeypatch):
    """
    Each would end the other's code. Both arrive there together, if nothing prevents it.

    On SQLite there is one writer at a time.
    """
    parts.sign_up()
    codes = [parts.codes.create_reset_code("ada", CONTEXT).code for _ in range(2)]
    used, use_code = [], store.use_code

    def use_together(*arguments):
        is_used = use_code(*arguments)
        used.append(is_used)
        wait_until(
            lambda: len(used) == 2 or has_blocked_transaction(parts.database),
            "the other reset has used its code, or waits",
        )
        return is_used

    monkeypatch.setattr(store, "use_code", use_together)

    def attempt(code):
        try:
            return reset_in(parts, code)
        except Refusal as refusal:
            return refusal.code

    with ThreadPoolExecutor(2) as threads:
        results = list(threads.map(attempt, codes))
    assert {*results} == {None, Code.CODE_INVALID}


@pytest.mark.sec(45, 60)
def test_invalid_codes_of_an_address_are_limited(application):
    """A valid code is not refused."""
    client = application(TOKENSVC_ACCOUNTS__SIGN_UP="open", TOKENSVC_LIMITS__CODES="2/hour")
    body = {"code": "tsp_wrong", "new_password": NEW_PASSWORD}
    responses = [client.post("/v1/accounts/ada/password", json=body) for _ in range(3)]
    assert [response.code for response in responses] == [
        "code_invalid",
        "code_invalid",
        "rate_limited",
    ]
    assert responses[-1].headers["RateLimit-Policy"] == '"codes";q=2;w=3600'
