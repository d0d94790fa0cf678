"""`POST /oauth/token`: apps refresh sessions, services get access tokens."""

import time
from base64 import b64encode
from urllib.parse import quote

import pytest

from testing.account_world import AccountWorld, running_account_world
from testing.service_clients import OPERATOR, administration_of, basic, make_client, rights
from testing.sessions import open_session, sessions_on
from tests.sessions.access_tokens.access import unverified
from tokensvc.core.clock import system_clock
from tokensvc.vault.vault import Vault

SERVICE = {"grant_type": "client_credentials"}
GIVEN_SECRET = "a+b%2Fc/d" * 5


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with running_account_world(tmp_path_factory.mktemp("oauth")) as running:
        yield running


@pytest.fixture(scope="module")
def shop(world):
    """Create a service that mints and reads users."""
    return make_client(world.database, "oauth-shop", "tokens:mint", "users:read")


def encoded_basic(client_id, secret):
    """Return the header of credentials of which every character is percent-encoded."""
    parts = ["".join(f"%{byte:02X}" for byte in text.encode()) for text in (client_id, secret)]
    return {"Authorization": "Basic " + b64encode(":".join(parts).encode()).decode()}


def refused(response, status=400):
    """Return the error of a refused request."""
    assert response.status == status, response.text
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Cache-Control"] == "no-store"
    return response.json["error"]


@pytest.mark.sec(50)
def test_refresh_returns_tokens_that_work(world):
    grant = world.open_session("ada")
    response = world.refresh(grant.refresh_token)
    assert response.status == 200
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Pragma"] == "no-cache"
    tokens = response.json
    assert tokens.keys() == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 600)
    assert tokens["refresh_token"] != grant.refresh_token
    user = world.with_token(tokens["access_token"])
    assert user.get("/v1/me").json["user_id"] == "ada"
    assert user.post("/v1/token").json["user_id"] == "ada"
    assert unverified(tokens["access_token"])["sid"] == grant.family.id


def test_lost_response_and_second_tab_get_the_same_refresh_token(world):
    grant = world.open_session("two-tabs")
    first, second = (world.refresh(grant.refresh_token).json for _ in range(2))
    assert first["refresh_token"] == second["refresh_token"]
    assert world.refresh(first["refresh_token"]).json["refresh_token"] == first["refresh_token"]


@pytest.mark.sec(36)
@pytest.mark.parametrize("other", [{}, {"client_id": "tablet"}])
def test_refresh_token_of_another_client_changes_nothing(world, other):
    grant = world.open_session("grace", "desktop")
    assert refused(world.refresh(grant.refresh_token, **other)) == "invalid_grant"
    before = world.refresh(grant.refresh_token, client_id="desktop")
    assert before.status == 200
    assert unverified(before.json["access_token"])["client_id"] == "desktop"


@pytest.mark.sec(36)
def test_refresh_token_is_not_for_a_service(world, shop):
    grant = world.open_session("lin")
    form = {"grant_type": "refresh_token", "refresh_token": grant.refresh_token}
    assert refused(world.oauth(form, headers=basic(shop))) == "invalid_grant"
    assert world.refresh(grant.refresh_token).status == 200


def test_default_client_is_named_app(world):
    grant = world.open_session("app-user")
    assert world.refresh(grant.refresh_token, client_id="app").status == 200


@pytest.mark.sec(58)
def test_refusal_of_a_token_logs_the_cause_and_not_the_token(world):
    token = world.open_session("logged", "desktop").refresh_token
    request_id = world.refresh(token).headers["X-Request-Id"]
    lines = [line for line in world.service.log_lines() if line.get("request_id") == request_id]
    assert [line["reason"] for line in lines] == ["other_client"]
    assert token not in world.service.log_path.read_text()


@pytest.mark.parametrize("send", [AccountWorld.refresh, AccountWorld.revoke_token])
def test_family_key_that_cannot_be_read_gets_503(world, send):
    """A lost encryption key is the operator's fault and must not sign users out."""
    sessions = sessions_on(world.database, system_clock, vault=Vault([Vault.generate_key()]))
    with world.database.write() as tx:
        grant = open_session(tx, sessions, "unreadable")
    response = send(world, grant.refresh_token)
    assert refused(response, 503) == "temporarily_unavailable"
    assert int(response.headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "invalid_request"),
        ({"grant_type": ""}, "invalid_request"),
        ({"grant_type": "refresh_token"}, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": ""}, "invalid_request"),
        ({"grant_type": "password", "username": "ada"}, "unsupported_grant_type"),
        ({"grant_type": "authorization_code", "code": "x"}, "unsupported_grant_type"),
        ({"grant_type": "refresh_token", "refresh_token": "junk"}, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "tsr_" + "A" * 56}, "invalid_grant"),
        (
            {"grant_type": "refresh_token", "refresh_token": "junk", "client_id": "a.b"},
            "invalid_request",
        ),
        (
            {"grant_type": "refresh_token", "refresh_token": "junk", "client_id": "a" * 65},
            "invalid_request",
        ),
        (
            {"grant_type": "refresh_token", "refresh_token": "junk", "scope": "tokens:mint"},
            "invalid_scope",
        ),
    ],
)
def test_invalid_request_gets_the_error_of_oauth(world, form, error):
    assert refused(world.oauth(form, valid=False)) == error


FORM = {"Content-Type": "application/x-www-form-urlencoded"}
REFRESH = "grant_type=refresh_token&refresh_token=junk"


@pytest.mark.sec(49, 52)
@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/revoke"])
@pytest.mark.parametrize(
    ("options", "detail"),
    [
        ({"json": {"grant_type": "refresh_token", "token": "x"}}, "not as JSON"),
        ({"body": REFRESH.encode()}, "application/x-www-form-urlencoded"),
        ({"headers": FORM, "body": f"{REFRESH}&refresh_token=junk".encode()}, "repeated"),
        ({"headers": FORM, "body": f"{REFRESH}&other=1&other=2".encode()}, "repeated"),
        ({"headers": FORM, "body": b"grant_type=%ff"}, "UTF-8"),
        ({"headers": FORM, "body": b"\xff=1"}, "UTF-8"),
        ({"headers": FORM, "body": b"grant_type"}, "name=value"),
        ({"headers": FORM, "body": b"&".join(b"p%d=1" % n for n in range(40))}, "name=value"),
        (
            {"headers": {**FORM, "Content-Encoding": "gzip"}, "body": REFRESH.encode()},
            "Content-Encoding",
        ),
        ({"query": "refresh_token=junk", "form": SERVICE}, "Logs contain queries"),
        ({"query": "client_secret=x", "form": SERVICE}, "Logs contain queries"),
        ({"query": "a=1", "form": SERVICE}, "no query parameters"),
    ],
)
def test_request_that_is_not_one_form_is_refused(world, path, options, detail):
    response = world.anonymous.post(path, valid=False, **options)
    assert refused(response) == "invalid_request"
    assert detail in response.json["error_description"]


def test_unknown_parameter_and_charset_are_accepted(world):
    """RFC 6749 section 3.2 ignores unknown parameters, and some clients name the charset."""
    token = world.open_session("strict").refresh_token
    body = f"grant_type=refresh_token&refresh_token={token}&resource=x".encode()
    for content_type in (
        "application/x-www-form-urlencoded;charset=UTF-8",
        'Application/X-WWW-Form-Urlencoded; charset="utf-8"',
    ):
        headers = {"Content-Type": content_type}
        response = world.anonymous.post("/oauth/token", headers=headers, body=body, valid=False)
        assert response.status == 200, response.text


@pytest.mark.sec(51)
def test_body_that_is_too_large_gets_the_error_of_oauth(world):
    form = {"grant_type": "refresh_token", "refresh_token": "x" * 17_000}
    assert refused(world.oauth(form), 413) == "invalid_request"


def test_other_method_gets_405(world):
    assert world.anonymous.get("/oauth/token", valid=False).code == "method_not_allowed"


@pytest.mark.sec(47)
def test_service_gets_a_token_with_each_way_to_authenticate(world, shop):
    in_body = {"client_id": shop.id, "client_secret": shop.secret}
    for response in (
        world.oauth(SERVICE, headers=basic(shop)),
        world.oauth({**SERVICE, "client_id": shop.id}, headers=basic(shop)),
        world.oauth(SERVICE, headers=encoded_basic(shop.id, shop.secret)),
        world.oauth({**SERVICE, **in_body}),
    ):
        assert response.status == 200, response.text
        assert response.json.keys() == {"access_token", "token_type", "expires_in", "scope"}
        assert response.json["scope"] == "tokens:mint users:read"
        service = world.with_token(response.json["access_token"])
        assert service.get("/v1/app").status == 200


@pytest.mark.sec(47)
def test_given_secret_is_accepted_encoded_and_as_it_is(world):
    """Not every OAuth library encodes the secret as RFC 6749 section 2.3.1 says."""
    administration = administration_of(world.database)
    client = administration.create(
        "given", rights("users:read"), administrator=OPERATOR, secret=GIVEN_SECRET
    )
    encoded = f"{quote(client.id, safe='')}:{quote(GIVEN_SECRET, safe='')}"
    headers = {"Authorization": "Basic " + b64encode(encoded.encode()).decode()}
    for presented in (basic(client), headers, encoded_basic(client.id, GIVEN_SECRET)):
        assert world.oauth(SERVICE, headers=presented).status == 200
    assert refused(world.oauth(SERVICE, headers=basic(client, "wrong%20")), 401)


def test_scope_narrows_the_token(world, shop):
    response = world.oauth({**SERVICE, "scope": "users:read"}, headers=basic(shop))
    assert response.json["scope"] == "users:read"
    service = world.with_token(response.json["access_token"])
    assert service.get("/v1/app").status == 200
    refused_mint = service.post("/v1/token", json={"user_id": "ada"})
    assert refused_mint.code == "insufficient_scope"


@pytest.mark.parametrize(
    "scope", ["keys:write", "users:read keys:write", "users:read unknown", " ", "USERS:READ"]
)
def test_scope_that_the_client_lacks_is_refused(world, shop, scope):
    response = world.oauth({**SERVICE, "scope": scope}, headers=basic(shop))
    assert refused(response) == "invalid_scope"


@pytest.mark.sec(47)
def test_wrong_secret_gets_401_with_a_challenge_only_after_basic(world, shop):
    """In the body it gets 400: a 401 must have a challenge. Also the ID of no client."""
    for client_id in (shop.id, "svc.unknown", "app"):
        in_body = {"client_id": client_id, "client_secret": "wrong"}
        response = world.oauth({**SERVICE, **in_body})
        assert refused(response, 400) == "invalid_client"
        assert "WWW-Authenticate" not in response.headers
        pair = b64encode(f"{client_id}:wrong".encode()).decode()
        after_basic = world.oauth(SERVICE, headers={"Authorization": f"Basic {pair}"})
        assert after_basic.json == response.json
        assert after_basic.status == 401
        assert after_basic.headers["WWW-Authenticate"].startswith("Basic ")


def test_service_without_its_secret_is_refused(world, shop):
    assert refused(world.oauth(SERVICE)) == "invalid_client"
    assert refused(world.oauth({**SERVICE, "client_id": shop.id})) == "invalid_client"
    assert refused(world.refresh("junk", client_id=shop.id)) == "invalid_client"


@pytest.mark.sec(49)
def test_two_credentials_in_one_request_are_refused(world, shop):
    in_body = {**SERVICE, "client_id": shop.id, "client_secret": shop.secret}
    response = world.oauth(in_body, headers=basic(shop))
    assert refused(response) == "invalid_request"
    assert "not in both" in response.json["error_description"]
    other = world.oauth({**SERVICE, "client_id": "app"}, headers=basic(shop))
    assert refused(other) == "invalid_request"
    nameless = world.oauth({**SERVICE, "client_secret": shop.secret})
    assert refused(nameless) == "invalid_request"
    twice = {"Authorization": f"{basic(shop)['authorization']}, Basic eDp5"}
    assert refused(world.oauth(SERVICE, headers=twice)) == "invalid_request"


@pytest.mark.sec(24)
def test_bearer_token_does_not_authenticate_an_oauth_client(world, shop):
    token = world.oauth(SERVICE, headers=basic(shop)).json["access_token"]
    response = world.oauth(SERVICE, headers={"Authorization": f"Bearer {token}"})
    assert refused(response, 401) == "invalid_client"
    assert response.headers["WWW-Authenticate"].startswith("Basic ")


@pytest.mark.sec(47)
def test_token_of_a_service_ends_with_its_secret(world):
    administration = administration_of(world.database)
    client = make_client(world.database, "short-lived", "users:read")
    added = administration.add_secret(client.id, int(time.time()) + 30, administrator=OPERATOR)
    response = world.oauth(SERVICE, headers=basic(client, added.secret))
    assert 0 < response.json["expires_in"] <= 30
    assert world.oauth(SERVICE, headers=basic(client)).json["expires_in"] == 600


@pytest.mark.sec(60)
def test_refreshes_of_a_session_are_limited(tmp_path):
    """Only genuine tokens count, so a forged one uses up no user's limit."""
    limits = {"TOKENSVC_LIMITS__REFRESH": "3/hour", "TOKENSVC_LIMITS__FAILURES": "2/hour"}
    with running_account_world(tmp_path, **limits) as world:
        mine, other = world.open_session("mine"), world.open_session("other")
        responses = [world.refresh(mine.refresh_token) for _ in range(4)]
        assert [response.status for response in responses] == [200] * 3 + [429]
        assert responses[0].headers["RateLimit"].startswith('"refresh";r=2;')
        assert refused(responses[-1], 429) == "temporarily_unavailable"
        assert int(responses[-1].headers["Retry-After"]) > 0
        assert world.refresh(other.refresh_token).status == 200
        failures = [world.refresh(f"junk-{number}") for number in range(3)]
        assert [response.status for response in failures] == [400, 400, 429]
        assert failures[-1].json["error"] == "temporarily_unavailable"
        assert failures[-1].headers["RateLimit"].startswith('"failures"')
        assert world.refresh(other.refresh_token).status == 200


@pytest.mark.sec(60)
def test_failed_authentications_of_services_are_limited(tmp_path):
    with running_account_world(tmp_path, TOKENSVC_LIMITS__FAILURES="2/hour") as world:
        shop = make_client(world.database, "limited", "users:read")
        statuses = [world.oauth(SERVICE, headers=basic(shop, "x")).status for _ in range(3)]
        assert statuses == [401, 401, 429]
        assert world.oauth(SERVICE, headers=basic(shop)).status == 200


def test_metadata_names_the_routes(world):
    response = world.anonymous.get("/.well-known/oauth-authorization-server")
    assert response.headers["Cache-Control"] == "public, max-age=300"
    metadata = response.json
    assert metadata["issuer"] == "https://tokens.example"
    for name, path in {
        "token_endpoint": "/oauth/token",
        "revocation_endpoint": "/oauth/revoke",
        "jwks_uri": "/.well-known/jwks.json",
    }.items():
        assert metadata[name] == f"https://tokens.example{path}"
    assert metadata["grant_types_supported"] == ["refresh_token", "client_credentials"]
