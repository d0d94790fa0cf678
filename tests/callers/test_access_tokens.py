"""Access tokens of this service as credentials: of users with their session, and of services."""

import itertools
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
import sqlalchemy as sa

from testing.account_world import PUBLIC_URL, AccountWorld, running_account_world
from testing.service import STREAM_API_SECRET
from testing.service_clients import OPERATOR, administration_of, basic, make_client
from testing.sessions import VAULT
from tests.sessions.access_tokens.access import unverified
from tests.sessions.access_tokens.signing import UNTIL_ACTIVE, SigningWorld
from tests.stream.keys.ring import CONTEXT
from tokensvc.clients.state import NewServiceClient
from tokensvc.ops.contract import contract, resolve
from tokensvc.sessions.access_tokens.signing_keys import SigningKeys
from tokensvc.sessions.tables import sessions

MANY = 12
"""Number of requests, each on its own connection, so that both workers get some."""

AUTHENTICATED = [
    (method.upper(), path, operation)
    for path, methods in contract()["paths"].items()
    for method, operation in methods.items()
    if {"userToken": []} in operation["security"] or {"serviceToken": []} in operation["security"]
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AccountWorld]:
    folder = tmp_path_factory.mktemp("access")
    with running_account_world(folder, TOKENSVC_WORKERS="2") as running:
        yield running


def service_token(world: AccountWorld, client: NewServiceClient, **form: str) -> str:
    form = {"grant_type": "client_credentials", **form}
    token: str = world.oauth(form, headers=basic(client)).json["access_token"]
    return token


def signed(world: AccountWorld, claims: dict[str, Any]) -> str:
    """Return a token of the service's own key with any claims."""
    ring = SigningKeys(world.database, VAULT).up_to_date_ring()
    assert ring.active is not None
    headers = {"typ": "at+jwt", "kid": ring.active.kid}
    return jwt.encode(claims, ring.active.private, algorithm="ES256", headers=headers)


def codes(world: AccountWorld, token: str, path: str = "/v1/me") -> set[str]:
    """Return the codes of several requests, of which each worker gets some."""
    responses = [world.with_token(token).get(path) for _ in range(MANY)]
    return {response.json.get("code", "accepted") for response in responses}


def test_user_of_an_account_is_known_and_gets_tokens(world: AccountWorld) -> None:
    user = world.signed_in_here("ada")
    me = {"user_id": "ada", "api_key": "test-api-key", "issuer": "accounts"}
    assert user.get("/v1/me").json == me
    assert user.post("/v1/token", json={"user": {"id": "ada"}}).json["user_id"] == "ada"
    assert user.get("/v1/token").status == 200


@pytest.mark.sec(23)
def test_user_of_an_account_gets_no_token_for_another_user(world: AccountWorld) -> None:
    user = world.signed_in_here("ada")
    assert user.post("/v1/token", json={"user_id": "grace"}).code == "user_id_mismatch"
    assert user.post("/v1/token", json={"auth_time": 1}).code == "malformed_request"


def test_user_of_an_account_has_no_scope(world: AccountWorld) -> None:
    assert world.signed_in_here("ada").get("/v1/app").code == "insufficient_scope"


@pytest.mark.sec(32, 33)
def test_revocation_ends_the_session_and_a_new_one_works(world: AccountWorld) -> None:
    """The response asks for no sign-in time: whatever sign-in comes next is accepted."""
    old = world.signed_in_here("revoked")
    world.revoke("revoked")
    refused = old.post("/v1/token")
    assert refused.code == "sign_in_required"
    assert refused.json["sign_in_after"] is None
    assert 'max_age="0"' in refused.headers["WWW-Authenticate"]
    assert world.signed_in_here("revoked").get("/v1/me").status == 200


@pytest.mark.sec(33)
def test_user_signs_out_everywhere(world: AccountWorld) -> None:
    user, other_device = world.signed_in_here("careful"), world.signed_in_here("careful")
    assert user.post("/v1/me/revocations").status == 200
    for client in (user, other_device):
        assert client.get("/v1/me").code == "sign_in_required"


@pytest.mark.sec(33)
def test_suspension_is_named_before_the_end_of_the_session(world: AccountWorld) -> None:
    """Also if the session was purged. A reinstatement does not bring it back."""
    kept, purged = world.open_session("suspended"), world.open_session("suspended")
    world.suspend("suspended")
    with world.database.write() as tx:
        tx.execute(sa.delete(sessions).where(sessions.c.id == purged.family.id))
    users = [world.with_token(world.access_token(grant)) for grant in (kept, purged)]
    assert [user.get("/v1/me").code for user in users] == ["user_suspended"] * 2
    assert [user.post("/v1/token").code for user in users] == ["user_suspended"] * 2
    world.reinstate("suspended")
    assert [user.get("/v1/me").code for user in users] == ["sign_in_required"] * 2


def test_expired_access_token_is_named_as_expired(world: AccountWorld) -> None:
    token = world.access_token(world.open_session("late"), age=3600)
    refused = world.with_token(token).get("/v1/me")
    assert refused.code == "credentials_expired"
    assert 'error="invalid_token"' in refused.headers["WWW-Authenticate"]


@pytest.mark.sec(24)
def test_token_for_the_session_of_another_user_is_refused(world: AccountWorld) -> None:
    claims = unverified(world.access_token(world.open_session("victim")))
    for user_id in ("thief", "victim2", "svc.victim", ""):
        token = signed(world, claims | {"sub": user_id})
        assert codes(world, token) == {"sign_in_required"}
    assert codes(world, signed(world, claims)) == {"accepted"}


@pytest.mark.sec(24)
def test_token_of_a_service_is_never_taken_for_a_user(world: AccountWorld) -> None:
    """`token_use` decides before `sub`."""
    client = make_client(world.database, "confused", "tokens:mint", "users:read")
    token = service_token(world, client)
    assert world.with_token(token).get("/v1/me").code == "insufficient_scope"
    named = signed(world, unverified(token) | {"sub": "ada", "client_id": "ada"})
    assert world.with_token(named).get("/v1/me").code == "credentials_invalid"
    user = unverified(world.access_token(world.open_session("ada")))
    as_service = signed(world, user | {"token_use": "service", "sub": client.id})
    assert world.with_token(as_service).get("/v1/app").code == "credentials_invalid"
    for token_use in ("", None, "admin", ["user"]):
        other = signed(world, user | {"token_use": token_use})
        assert world.with_token(other).get("/v1/me").code == "credentials_invalid"


@pytest.mark.sec(24)
@pytest.mark.parametrize(
    ("method", "path", "operation"),
    AUTHENTICATED,
    ids=[f"{method} {path}" for method, path, _ in AUTHENTICATED],
)
def test_stream_token_is_a_credential_nowhere(
    world: AccountWorld, method: str, path: str, operation: dict[str, Any]
) -> None:
    """Neither the token minted here, nor one that also has the claims of an access token."""
    minted = world.signed_in_here("minting").post("/v1/token").json["token"]
    claims = unverified(world.access_token(world.open_session("minting")))
    dressed = jwt.encode({**claims, "user_id": "minting"}, STREAM_API_SECRET, "HS256")
    values = {p["name"]: str(p["example"]) for p in map(resolve, operation.get("parameters", []))}
    media = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    examples = [example["value"] for example in media.get("examples", {}).values()]
    body = next(iter(examples), media.get("example"))
    for token in (minted, dressed):
        user = world.with_token(token)
        response = user.request(method, path.format(**values), json=body)
        assert response.code == "credentials_invalid"


def test_service_uses_its_token_wherever_it_uses_its_secret(world: AccountWorld) -> None:
    client = make_client(world.database, "bearer", "tokens:mint", "users:read")
    service = world.with_token(service_token(world, client))
    now = int(time.time())
    minted = service.post("/v1/token", json={"user_id": "john", "auth_time": now})
    assert minted.json["user_id"] == "john"
    assert service.get("/v1/users/john").status == 200
    assert service.get("/v1/audit").code == "insufficient_scope"


@pytest.mark.sec(47)
def test_token_of_a_service_loses_what_its_client_loses(world: AccountWorld) -> None:
    """With the response of the change, and it gains nothing that the client gains."""
    administration = administration_of(world.database)
    client = make_client(world.database, "shrinking", "users:read", "audit:read")
    token = service_token(world, client)
    assert codes(world, token, "/v1/app") == {"accepted"}
    administration.change(client.id, ["audit:read", "tokens:mint"], administrator=OPERATOR)
    assert codes(world, token, "/v1/app") == {"insufficient_scope"}
    assert codes(world, token, "/v1/audit") == {"accepted"}
    mint = world.with_token(token).post("/v1/token", json={"user_id": "john"})
    assert mint.code == "insufficient_scope"
    added = administration.add_secret(client.id, administrator=OPERATOR)
    newer = service_token(world, client)
    administration.delete_secret(client.id, added.id, administrator=OPERATOR)
    assert codes(world, newer, "/v1/audit") == {"accepted"}
    administration.delete_secret(client.id, client.secrets[0].id, administrator=OPERATOR)
    assert codes(world, newer, "/v1/audit") == {"credentials_invalid"}


@pytest.mark.sec(47)
def test_token_of_a_deleted_client_is_refused(world: AccountWorld) -> None:
    client = make_client(world.database, "leaving", "users:read")
    token = service_token(world, client)
    administration_of(world.database).delete(client.id, administrator=OPERATOR)
    make_client(world.database, "leaving", "users:read")
    assert codes(world, token, "/v1/app") == {"credentials_invalid"}


@pytest.mark.sec(67)
def test_narrowed_token_grants_only_its_own_scopes(world: AccountWorld) -> None:
    """Although the client itself has more."""
    client = make_client(world.database, "granting", "clients:write", "users:read")
    narrowed = world.with_token(service_token(world, client, scope="clients:write"))
    wanted = {"name": "stronger", "scopes": ["users:read"]}
    assert narrowed.post("/v1/clients", json=wanted).code == "insufficient_scope"
    whole = world.with_token(service_token(world, client))
    assert whole.post("/v1/clients", json=wanted).status == 201


@pytest.mark.sec(60)
def test_requests_of_an_account_have_the_limit_of_users(tmp_path: Any) -> None:
    """Expired tokens have a limit of their own, by user."""
    limits = {"TOKENSVC_LIMITS__MINT": "3/hour", "TOKENSVC_LIMITS__EXPIRED": "2/hour"}
    with running_account_world(tmp_path, **limits) as world:
        grant = world.open_session("eager")
        user = world.with_token(world.access_token(grant))
        assert [user.get("/v1/me").status for _ in range(4)] == [200] * 3 + [429]
        world.suspend("eager")
        assert user.get("/v1/me").code == "rate_limited"
        late = world.with_token(world.access_token(world.open_session("late"), age=3600))
        found = [late.get("/v1/me").code for _ in range(3)]
        assert found == ["credentials_expired"] * 2 + ["rate_limited"]
        token = world.access_token(world.open_session("later"), age=3600)
        assert world.with_token(token).get("/v1/me").code == "credentials_expired"


@pytest.mark.sec(24, 37)
def test_retired_key_verifies_nothing_at_any_worker(world: AccountWorld) -> None:
    """With the commit of the retirement: neither of a user nor of a service, nor to revoke."""
    client = make_client(world.database, "rotating", "users:read")
    grant = world.open_session("rotating")
    user_token, token = world.access_token(grant), service_token(world, client)
    assert codes(world, user_token) == {"accepted"}
    assert codes(world, token, "/v1/app") == {"accepted"}
    ring = SigningWorld(world.database, VAULT)
    ring.clock.now = time.time()
    leaked = ring.signs_with()
    ring.rotation.rotate(CONTEXT)
    ring.pass_time(UNTIL_ACTIVE)
    assert ring.signs_with() != leaked
    assert codes(world, user_token) == {"accepted"}
    ring.rotation.retire(leaked, CONTEXT)
    assert codes(world, user_token) == {"credentials_invalid"}
    assert codes(world, token, "/v1/app") == {"credentials_invalid"}
    assert world.revoke_token(user_token).status == 200
    assert codes(world, world.access_token(grant)) == {"accepted"}


@pytest.mark.sec(24)
def test_token_of_another_service_with_the_same_key_is_refused(world: AccountWorld) -> None:
    client = make_client(world.database, "elsewhere", "users:read")
    tokens = (world.access_token(world.open_session("ada")), service_token(world, client))
    for token, path in zip(tokens, ("/v1/me", "/v1/app"), strict=True):
        claims = unverified(token)
        assert world.with_token(signed(world, claims)).get(path).status == 200
        for name, url in itertools.product(("iss", "aud"), (f"{PUBLIC_URL}/", "https://a.example")):
            other = world.with_token(signed(world, claims | {name: url}))
            assert other.get(path).code == "credentials_invalid"
