"""SECURITY 60: what each limit counts, and whom it refuses."""

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from testing.http_client import Client
from testing.response import Response
from testing.service import EVERYTHING
from testing.service_clients import OPERATOR, administration_of, basic, make_client
from testing.world import METRICS_TOKEN, World, running_world
from tokensvc.ops.contract import contract, resolve

LIMIT = 3
RATES = {
    **dict.fromkeys(("MINT", "SIGN_OUT", "EXPIRED", "FAILURES", "MANAGE"), f"{LIMIT}/hour"),
    "SERVICE": f"{3 * LIMIT}/hour",
}
"""No limit recovers within the test."""

OPERATIONS = [
    (method.upper(), path, operation)
    for path, methods in contract()["paths"].items()
    for method, operation in methods.items()
    if {"serviceClient": []} in operation["security"] and path != "/v1/token"
]
"""The routes of services, except `/v1/token`."""

JSON = {"Content-Type": "application/json"}

pytestmark = pytest.mark.sec(60)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Yield a service with low limits. Each test uses its own users, clients and addresses."""
    settings = {f"TOKENSVC_LIMITS__{name}": rate for name, rate in RATES.items()}
    settings |= EVERYTHING
    settings["TOKENSVC_PROXIES__TRUSTED"] = '["127.0.0.1/32"]'
    settings["TOKENSVC_ACCOUNTS__ENABLED"] = "true"  # for their routes
    with running_world(tmp_path_factory.mktemp("limits"), **settings) as running:
        yield running


def bearer(world: World, token: str, address: str = "203.0.113.1") -> Client:
    headers = {"Authorization": f"Bearer {token}", "X-Forwarded-For": address}
    return Client(world.service.base_url, headers)


def user(world: World, user_id: str, address: str = "203.0.113.1") -> Client:
    return bearer(world, world.issuer.token(sub=user_id), address)


def beyond(send: Callable[[], Response], policy: str, limit: int = LIMIT) -> list[Response]:
    """Send requests to a limit and one more, which must be refused; return the others."""
    *passed, refused = [send() for _ in range(limit + 1)]
    assert [response.status for response in passed].count(429) == 0
    assert (refused.status, refused.code) == (429, "rate_limited")
    assert 0 < int(refused.headers["Retry-After"]) <= 3600
    for left, response in zip(range(limit, -1, -1), (*passed, refused), strict=True):
        remaining = left - 1 if left else 0
        assert response.headers["RateLimit-Policy"] == f'"{policy}";q={limit};w=3600'
        assert response.headers["RateLimit"].startswith(f'"{policy}";r={remaining};t=')
    return passed


def codes(responses: list[Response]) -> set[str]:
    return {response.code for response in responses}


@pytest.mark.parametrize("path", ["/v1/token", "/v1/me"])
def test_requests_of_a_user_have_one_limit(world: World, path: str) -> None:
    name = path.rpartition("/")[2]
    beyond(lambda: user(world, f"eager-{name}").get(path), "mint")
    assert user(world, f"eager-{name}").get("/v1/me").status == 429
    assert user(world, f"eager-{name}").post("/v1/token").status == 429
    assert user(world, f"patient-{name}").get(path).status == 200


def test_refused_requests_of_a_user_count(world: World) -> None:
    """Also those for a service's route, which a user never gets."""
    client = user(world, "wrong")
    responses = iter(
        [
            client.post("/v1/token", json={"user": {"id": "john", "role": "admin"}}),
            client.post("/v1/token", json={"auth_time": 1}),
            client.get("/v1/app"),
            client.get("/v1/app"),
        ]
    )
    passed = beyond(lambda: next(responses), "mint")
    assert codes(passed) == {"user_id_mismatch", "malformed_request", "insufficient_scope"}


def test_failures_of_an_address_do_not_stop_valid_callers(world: World) -> None:
    """Users, backends and operators behind the same address still get in."""
    address = "203.0.113.2"
    failing = bearer(world, "garbage", address)
    assert codes(beyond(lambda: failing.get("/v1/me"), "failures")) == {"credentials_invalid"}
    valid = make_client(world.database, "neighbour", "users:read", "tokens:mint")
    service = Client(world.service.base_url, {**basic(valid), "X-Forwarded-For": address})
    assert user(world, "neighbour", address).get("/v1/me").status == 200
    assert service.get("/v1/app").status == 200
    assert service.post("/v1/token", json={"user_id": "neighbour-2"}).status == 200
    wrong = Client(world.service.base_url, {**basic(valid, "x"), "X-Forwarded-For": address})
    assert wrong.get("/v1/app").code == "rate_limited"
    assert bearer(world, "garbage", "203.0.113.3").get("/v1/me").code == "credentials_invalid"


def test_malformed_requests_without_a_verified_credential_are_failures(world: World) -> None:
    """They stop neither well-formed requests of valid callers there, nor requests elsewhere."""
    address = "203.0.113.7"
    client, valid = bearer(world, "garbage", address), user(world, "well-formed", address)
    text = {"Content-Type": "text/plain"}
    responses = iter(
        [
            client.post("/v1/token", body=b"{", headers=JSON, valid=False),
            client.post("/v1/token", body=b"x", headers=text, valid=False),
            client.get("/v1/token", query="jwt=a", valid=False),
            valid.post("/v1/sessions", json={"user": "ada"}, valid=False),
        ]
    )
    passed = beyond(lambda: next(responses), "failures")
    assert codes(passed) == {"malformed_request", "unsupported_media_type"}
    form = client.request("POST", "/oauth/token", form={"grant_type": "password"}, valid=False)
    assert (form.status, form.json["error"]) == (429, "temporarily_unavailable")
    assert valid.get("/v1/token").status == 200
    elsewhere = bearer(world, "garbage", "203.0.113.8")
    assert elsewhere.get("/v1/token", query="jwt=a", valid=False).code == "malformed_request"


@pytest.mark.sec(55)
def test_failures_are_counted_by_the_address_from_a_trusted_proxy(world: World) -> None:
    """IPv6 by its /64 network: a client cannot avoid the limit with another address of its own."""
    numbers = iter(range(LIMIT + 1))

    def fail() -> Response:
        return bearer(world, "garbage", f"10.9.9.9, 2001:db8:0:1::{next(numbers)}").get("/v1/me")

    beyond(fail, "failures")
    other_network = bearer(world, "garbage", "2001:db8:0:2::1")
    assert other_network.get("/v1/me").code == "credentials_invalid"


def test_unknown_path_and_method_are_not_failures(world: World) -> None:
    """They get 404 and 405 and do not count as failed authentications."""
    client = bearer(world, "garbage", "203.0.113.4")
    for _ in range(LIMIT + 1):
        assert client.get("/v1/tokens", valid=False).code == "not_found"
        assert client.request("DELETE", "/v1/token", valid=False).code == "method_not_allowed"
    assert client.get("/v1/token").code == "credentials_invalid"


def test_one_user_does_not_use_up_the_limit_of_a_service(world: World) -> None:
    """Requests beyond the user's limit do not count for the service."""
    service = world.client_with("shop", "tokens:mint")

    def mint(user_id: str) -> Response:
        return service.post("/v1/token", json={"user_id": user_id})

    responses = [mint("looping") for _ in range(4 * LIMIT)]
    assert [response.status for response in responses] == [200] * LIMIT + [429] * 3 * LIMIT
    assert responses[-1].headers["RateLimit-Policy"].startswith('"mint"')
    assert user(world, "looping").post("/v1/token").status == 429
    others = [mint(f"other-{number}") for number in range(2 * LIMIT + 1)]
    assert [response.status for response in others] == [200] * 2 * LIMIT + [429]
    assert others[-1].headers["RateLimit-Policy"].startswith('"service"')


def test_refused_token_requests_of_a_service_count(world: World) -> None:
    powerless = world.client_with("powerless", "users:read")
    passed = beyond(
        lambda: powerless.post("/v1/token", json={"user_id": "john"}), "service", 3 * LIMIT
    )
    assert codes(passed) == {"insufficient_scope"}
    nameless = world.client_with("nameless", "tokens:mint")
    passed = beyond(lambda: nameless.post("/v1/token"), "service", 3 * LIMIT)
    assert codes(passed) == {"malformed_request"}


def test_exhausted_service_does_not_use_up_the_limits_of_users(world: World) -> None:
    service = world.client_with("exhausted", "tokens:mint")
    for number in range(3 * LIMIT):
        service.post("/v1/token", json={"user_id": f"served-{number}"})
    for _ in range(LIMIT):
        refused = service.post("/v1/token", json={"user_id": "waiting"})
        assert refused.headers["RateLimit-Policy"].startswith('"service"')
    assert user(world, "waiting").post("/v1/token").status == 200


def test_sign_outs_have_a_limit_of_their_own(world: World) -> None:
    """They do not count as requests for tokens, and those do not prevent a sign-out."""
    signed_in = user(world, "leaving")
    beyond(lambda: signed_in.get("/v1/me"), "mint")
    passed = beyond(lambda: signed_in.post("/v1/me/revocations"), "sign_out")
    assert passed[0].status == 200
    assert codes(passed[1:]) == {"sign_in_required"}


def test_management_routes_share_a_limit_of_the_client(world: World) -> None:
    """`/v1/me` too, which no service gets. It is not the limit of token requests."""
    service = world.client_with("manager", "tokens:mint", "users:read")
    paths = iter(["/v1/users", "/v1/me", "/v1/audit", "/v1/app"])
    beyond(lambda: service.get(next(paths)), "manage")
    assert service.post("/v1/token", json={"user_id": "managed"}).status == 200
    assert world.client_with("other-manager", "users:read").get("/v1/app").status == 200


@pytest.mark.parametrize(
    ("method", "path", "operation"), OPERATIONS, ids=[f"{m} {p}" for m, p, _ in OPERATIONS]
)
def test_each_route_of_services_is_limited(
    world: World, method: str, path: str, operation: dict[str, Any]
) -> None:
    """Before the scope is checked."""
    name = f"{method} {path}"
    service = world.client_with(name, "tokens:mint")
    values = {p["name"]: str(p["example"]) for p in map(resolve, operation.get("parameters", []))}
    media = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    examples = [example["value"] for example in media.get("examples", {}).values()]
    body = next(iter(examples), media.get("example"))
    passed = beyond(lambda: service.request(method, path.format(**values), json=body), "manage")
    assert codes(passed) == {"insufficient_scope"}


def test_expired_credentials_of_a_user_are_limited(world: World) -> None:
    """Apart from the user's other requests, which a leaked old token could otherwise use up."""
    now = int(time.time())
    old = {"iat": now - 7200, "auth_time": now - 7200, "exp": now - 3600}
    expired = bearer(world, world.issuer.token(sub="late", **old))
    assert codes(beyond(lambda: expired.get("/v1/me"), "expired")) == {"credentials_expired"}
    assert user(world, "late").post("/v1/token").status == 200
    other = bearer(world, world.issuer.token(sub="later", **old))
    assert other.post("/v1/token").code == "credentials_expired"


def test_expired_secrets_of_a_client_are_limited(world: World) -> None:
    """Apart from the client's newer secret, and from other clients at the same address."""
    administration = administration_of(world.database)
    expires_at = int(time.time()) + 2
    newer, expired = [], []
    for name in ("forgetful", "late-too"):
        client = make_client(world.database, name, "users:read")
        added = administration.add_secret(client.id, expires_at, administrator=OPERATOR)
        newer.append(Client(world.service.base_url, basic(client)))
        expired.append(Client(world.service.base_url, basic(client, added.secret)))
    while time.time() < expires_at:
        time.sleep(0.05)
    passed = beyond(lambda: expired[0].get("/v1/app"), "expired")
    assert codes(passed) == {"credentials_expired"}
    assert newer[0].get("/v1/app").status == 200
    assert expired[1].get("/v1/app").code == "credentials_expired"


def test_tokens_without_a_legal_user_id_are_limited(world: World) -> None:
    """By the issuer and the claim, so that one user does not stop another."""
    illegal = user(world, "Not legal")
    assert codes(beyond(lambda: illegal.post("/v1/token"), "mint")) == {"user_id_invalid"}
    assert user(world, "Another one").post("/v1/token").code == "user_id_invalid"
    token = world.silent.token(sub="Not legal", auth_time=None)
    assert bearer(world, token).post("/v1/token").code == "user_id_invalid"
    for claim in (None, 7, ["Not legal"]):
        assert bearer(world, world.issuer.token(sub=claim)).get("/v1/me").code == "user_id_invalid"


def test_limits_that_were_hit_are_logged_and_counted_by_policy(world: World) -> None:
    """The label has the names of the settings and no other values."""
    responses = [user(world, "measured").get("/v1/me") for _ in range(LIMIT + 1)]
    request_id = responses[-1].json["request_id"]
    (line,) = [line for line in world.service.log_lines() if line.get("request_id") == request_id]
    assert (line["code"], line["reason"], line["user_id"]) == (
        "rate_limited",
        "limits.mint",
        "measured",
    )
    headers = {"Authorization": f"Bearer {METRICS_TOKEN}"}
    metrics = world.anonymous.get("/metrics", headers=headers).text
    policies = set(re.findall(r'tokensvc_limits_hit_total\{policy="([^"]*)"', metrics))
    assert {"mint"} <= policies <= {name.lower() for name in RATES}
