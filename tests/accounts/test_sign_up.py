"""`POST /v1/accounts` at a running service, and its races on both databases."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
import sqlalchemy as sa

from testing.accounts import PASSWORD, AccountParts, MeetingHasher
from testing.refused_writes import refuse_writes
from testing.service_clients import refusal_of
from testing.waiting import wait_until
from tokensvc.accounts.passwords.hashing import HashingPool, PasswordHasher
from tokensvc.accounts.settings import AccountSettings
from tokensvc.accounts.tables import accounts as accounts_table
from tokensvc.core.actions import ActionContext, Target
from tokensvc.core.errors import Code, Refusal
from tokensvc.core.waiting import WaitSlots

CONTEXT = ActionContext("svc.backend")


def sign_up(world, user_id, password=PASSWORD, **more):
    return world.anonymous.post(
        "/v1/accounts", json={"user_id": user_id, "password": password, **more}
    )


@pytest.mark.sec(59)
def test_sign_up_creates_the_account_and_delivers_the_user(open_world):
    user = {"id": "chat-ada", "name": "Ada"}
    created = sign_up(open_world, "chat-ada", user=user)
    assert created.status == 201
    assert created.headers["Location"] == "/v1/accounts/chat-ada"
    assert created.json.keys() == {"user_id", "created_at"}
    users = open_world.stream.app.users
    wait_until(lambda: users.get("chat-ada", {}).get("name") == "Ada", "Stream has the user")
    (event,) = open_world.operator.get("/v1/audit", query={"action": "account:created"}).json[
        "items"
    ][:1]
    assert (event["actor"], event["subject"]) == ("chat-ada", "chat-ada")


def test_operator_sees_the_failed_sign_ins_of_an_account(open_world):
    sign_up(open_world, "chat-forgetful")
    wrong = {"user_id": "chat-forgetful", "password": "not the password of the user"}
    for _ in range(2):
        assert open_world.anonymous.post("/v1/sessions", json=wrong).status == 401
    shown = open_world.command("accounts", "show", "chat-forgetful", "--json").json
    assert (shown["failed_sign_ins"], shown["has_password"]) == (2, True)


@pytest.mark.sec(13)
@pytest.mark.parametrize("user_id", ["ada", "chat-", "chat-Ada", "chat-a.b", ""])
def test_illegal_user_id_or_one_without_the_prefix_is_refused(open_world, user_id):
    assert sign_up(open_world, user_id).code == "user_id_invalid"


def test_rejected_password_is_refused_with_all_reasons(open_world):
    refused = sign_up(open_world, "chat-bob", "password1")
    assert (refused.status, refused.code) == (422, "password_rejected")
    assert refused.json["reasons"] == ["too_short", "too_common"]
    assert "Use at least 15 characters." in refused.json["detail"]
    for password, reason in (
        ("tokensvc-tokensvc", "like_service_name"),
        ("chat-bob-chat-bob", "like_user_id"),
    ):
        assert sign_up(open_world, "chat-bob", password).json["reasons"] == [reason]
    assert sign_up(open_world, "chat-bob").status == 201


def test_user_object_with_members_of_servers_creates_nothing(open_world):
    """The service delivers the object with the rights of a server."""
    for member in ("role", "teams", "Role", "role.x"):
        user = {"id": "chat-eve", member: "admin"}
        assert sign_up(open_world, "chat-eve", user=user).code == "user_invalid"
    assert sign_up(open_world, "chat-eve", user={"id": "chat-bob"}).code == "user_id_mismatch"
    assert sign_up(open_world, "chat-eve").status == 201


def test_user_id_of_a_live_or_deleted_account_is_taken(open_world):
    assert sign_up(open_world, "chat-carl").status == 201
    taken = sign_up(open_world, "chat-carl")
    assert (taken.status, taken.code) == (409, "user_id_taken")
    admin = open_world.client_with("remover", "accounts:write")
    assert admin.request("DELETE", "/v1/accounts/chat-carl").status == 204
    assert sign_up(open_world, "chat-carl").code == "user_id_taken"
    ended = open_world.command("accounts", "invite", "chat-carl")
    assert (ended.code, "had one" in ended.err) == (1, True)


def test_user_of_stream_is_not_taken_over(open_world):
    """Nothing is created; an invitation for this ID permits the sign-up."""
    open_world.make_stream_user("chat-dora")
    assert sign_up(open_world, "chat-dora").code == "user_id_taken"
    admin = open_world.client_with("inviter", "accounts:write", "tokens:mint")
    any_id = admin.post("/v1/invitations").json["invitation"]
    assert sign_up(open_world, "chat-dora", invitation=any_id).code == "user_id_taken"
    for_dora = admin.post("/v1/invitations", json={"user_id": "chat-dora"}).json["invitation"]
    assert sign_up(open_world, "chat-dora", invitation=for_dora).status == 201


@pytest.mark.parametrize("action", ["profile", "suspension", "revocation"])
def test_user_whom_this_service_knows_is_not_taken_over(database, clock, action):
    """Also without delivery to Stream. An invitation that names the user permits it."""
    parts = AccountParts(database, clock)
    if action == "profile":
        parts.deliveries.set_profile("ada", {"id": "ada", "name": "Ada"}, "svc.backend")
    elif action == "suspension":
        parts.revocations.suspend("ada", CONTEXT)
    else:
        parts.revocations.revoke(Target("ada"), CONTEXT)
    assert refusal_of(parts.sign_up).code is Code.USER_ID_TAKEN
    invitation = parts.codes.invite(None, CONTEXT).invitation
    assert refusal_of(parts.sign_up, invitation=invitation).code is Code.USER_ID_TAKEN
    parts.sign_up("bob")
    parts.sign_up(invitation=parts.codes.invite("ada", CONTEXT).invitation)


@pytest.mark.sec(13)
def test_service_gets_no_token_for_an_id_that_a_user_could_sign_up_with(open_world):
    """Services are one more source of user IDs: those with the prefix are for accounts."""
    backend = open_world.backend

    def mint(user_id):
        return backend.post("/v1/token", json={"user_id": user_id})

    refused = mint("chat-olga")
    assert (refused.status, refused.code) == (422, "user_id_invalid")
    assert "accounts.user_id_prefix" in refused.json["detail"]
    assert mint("olga").status == mint("chat").status == 200
    assert sign_up(open_world, "chat-olga").status == 201
    assert mint("chat-olga").status == 200
    admin = open_world.client_with("olgas remover", "accounts:write")
    assert admin.request("DELETE", "/v1/accounts/chat-olga").status == 204
    vouching = open_world.vouching.post("/v1/token", json={"user_id": "chat-olga"})
    assert (vouching.status, vouching.code) == (422, "user_id_invalid")


@pytest.mark.sec(13)
@pytest.mark.parametrize("action", ["profile", "suspension"])
def test_user_who_appears_after_the_question_to_stream_is_not_taken_over(
    database, clock, stream, action
):
    """A service creates the user at Stream while the password is hashed."""
    parts = AccountParts(database, clock, stream_url=stream.url)

    class Hasher(PasswordHasher):
        def hash(self, password):
            assert stream.calls.to("GET", "/users")
            if action == "profile":
                parts.deliveries.set_profile("ada", {"id": "ada"}, "svc.backend")
            else:
                parts.revocations.suspend("ada", CONTEXT)
            return super().hash(password)

    meanwhile = AccountParts(
        database, clock, stream_url=stream.url, hasher=Hasher(HashingPool(1, WaitSlots(2)))
    )
    assert refusal_of(meanwhile.sign_up).code is Code.USER_ID_TAKEN
    assert parts.account() is None
    assert meanwhile.sign_up(invitation=parts.codes.invite("ada", CONTEXT).invitation)


def test_sign_up_while_stream_is_unreachable_gets_503(open_world):
    fault = open_world.stream.faults.refuse("GET /users", times=1)
    refused = sign_up(open_world, "chat-emil")
    assert (refused.status, refused.code) == (503, "temporarily_unavailable")
    assert fault.hits == 1
    assert sign_up(open_world, "chat-emil").status == 201


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_sign_up_does_not_wait_for_stream_while_too_many_others_do(database, clock, stream):
    """Each of them holds a thread. A failed call gives its slot back."""
    parts = AccountParts(database, clock, stream_url=stream.url)
    with ThreadPoolExecutor(1) as other, ExitStack() as held:
        other.submit(held.enter_context, parts.wait_slots.outside()).result()
        assert refusal_of(parts.sign_up).code is Code.TEMPORARILY_UNAVAILABLE
    assert stream.calls.all() == []
    stream.faults.refuse("GET /users")
    assert refusal_of(parts.sign_up).code is Code.TEMPORARILY_UNAVAILABLE
    assert parts.sign_up().user_id == "ada"


def test_invitation_works_once_and_only_for_its_user(open_world):
    admin = open_world.client_with("host", "accounts:write", "tokens:mint")
    created = admin.post("/v1/invitations", json={"user_id": "chat-fred", "reason": "new"})
    assert (created.status, created.headers["Location"]) == (201, "/v1/accounts")
    invitation = created.json["invitation"]
    other = sign_up(open_world, "chat-gina", invitation=invitation)
    assert (other.status, other.code) == (403, "invitation_invalid")
    assert sign_up(open_world, "chat-fred", invitation="tsi_wrong").code == "invitation_invalid"
    assert sign_up(open_world, "chat-fred", invitation=invitation).status == 201
    for_any = admin.post("/v1/invitations").json["invitation"]
    assert sign_up(open_world, "chat-gina", invitation=for_any).status == 201
    assert sign_up(open_world, "chat-hugo", invitation=for_any).code == "invitation_invalid"


def test_closed_service_refuses_sign_up_with_an_invitation_too(closed_world):
    admin = closed_world.client_with("host", "accounts:write")
    invitation = admin.post("/v1/invitations").json["invitation"]
    for more in ({}, {"invitation": invitation}):
        refused = sign_up(closed_world, "chat-ada", **more)
        assert (refused.status, refused.code) == (403, "sign_up_closed")


@pytest.mark.sec(59)
def test_service_by_invitation_needs_one(database, clock):
    settings = AccountSettings(sign_up="invitation")
    parts = AccountParts(database, clock, settings)
    assert refusal_of(parts.sign_up).code is Code.INVITATION_INVALID
    invitation = parts.codes.invite(None, CONTEXT).invitation
    assert parts.sign_up(invitation=invitation).user_id == "ada"
    assert parts.has_password(PASSWORD)
    assert [event[1:] for event in parts.events()] == [
        ("invitation:created", "invitation:any"),
        ("account:created", "ada"),
    ]


@pytest.mark.sec(45)
@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_expired_invitation_is_refused(parts, clock):
    """Its lifetime is that of the settings."""
    created = parts.codes.invite("ada", CONTEXT)
    assert created.expires_at == clock.now + 7 * 86400
    clock.now = created.expires_at
    refused = refusal_of(parts.sign_up, invitation=created.invitation)
    assert refused.code is Code.INVITATION_INVALID
    clock.now -= 1
    assert parts.sign_up(invitation=created.invitation)


@pytest.mark.sec(45)
def test_withdrawn_invitation_is_refused(parts):
    """The others still work."""
    withdrawn, kept = (parts.codes.invite(user_id, CONTEXT) for user_id in ("bob", "ada"))
    (of_bob,) = [one for one in parts.codes.invitations() if one.user_id == "bob"]
    parts.codes.withdraw(of_bob.id, CONTEXT)
    refused = refusal_of(parts.sign_up, user_id="bob", invitation=withdrawn.invitation)
    assert refused.code is Code.INVITATION_INVALID
    assert parts.sign_up(invitation=kept.invitation)
    assert parts.codes.invitations() == []


def test_refused_sign_up_leaves_the_invitation_unused(parts):
    """Also if the account cannot be written."""
    invitation = parts.codes.invite("ada", CONTEXT).invitation
    assert refusal_of(parts.sign_up, password="short", invitation=invitation).code is (
        Code.PASSWORD_REJECTED
    )
    refuse_writes(parts.database, "profiles")
    with pytest.raises((sa.exc.DBAPIError, Refusal)):
        parts.sign_up(invitation=invitation, user={"id": "ada"})
    assert parts.account() is None
    assert parts.sign_up(invitation=invitation)


def test_two_sign_ups_of_one_user_id_create_one_account(database, clock):
    """The one with the account has its own password."""
    hasher = MeetingHasher()
    passwords = [PASSWORD, "seven green umbrellas dance"]

    def attempt(password):
        parts = AccountParts(database, clock, hasher=hasher)
        try:
            return parts.sign_up(password=password) and password
        except Refusal as refusal:
            return refusal.code

    with ThreadPoolExecutor(2) as threads:
        results = list(threads.map(attempt, passwords))
    assert results.count(Code.USER_ID_TAKEN) == 1
    (winner,) = {*results} & {*passwords}
    parts = AccountParts(database, clock)
    assert parts.has_password(winner)
    assert [event[1] for event in parts.events()] == ["account:created"]


def test_two_sign_ups_with_one_invitation_create_one_account(database, clock):
    parts = AccountParts(database, clock, hasher=MeetingHasher())
    invitation = parts.codes.invite(None, CONTEXT).invitation

    def attempt(user_id):
        try:
            return parts.sign_up(user_id, invitation=invitation).user_id
        except Refusal as refusal:
            return refusal.code

    with ThreadPoolExecutor(2) as threads:
        results = list(threads.map(attempt, ["ada", "bob"]))
    assert results.count(Code.INVITATION_INVALID) == 1
    with database.read() as connection:
        assert len(connection.execute(accounts_table.select()).all()) == 1


@pytest.mark.sec(60)
def test_sign_ups_of_an_address_are_limited(application):
    """A refused password does not count: the user tries another one."""
    client = application(TOKENSVC_ACCOUNTS__SIGN_UP="open", TOKENSVC_LIMITS__SIGN_UP="2/hour")

    def attempt(user_id, password=PASSWORD):
        return client.post("/v1/accounts", json={"user_id": user_id, "password": password})

    assert attempt("ada", "short").status == 422
    assert [attempt("ada").status, attempt("ada").status] == [201, 409]
    refused = attempt("bob")
    assert (refused.status, refused.code) == (429, "rate_limited")
    assert refused.headers["RateLimit-Policy"] == '"sign_up";q=2;w=3600'
    assert attempt("bob", "short").status == 422
