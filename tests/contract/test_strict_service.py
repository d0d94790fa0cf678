"""A running service with the strictest settings."""

import json
from collections.abc import Iterator

import pytest

from testing.doubles.issuer import IssuerDouble
from testing.http_client import Client
from testing.response import Response
from testing.service import STREAM_API_KEY, Service, running_service

LIMIT = 3


@pytest.fixture(scope="module")
def issuer() -> Iterator[IssuerDouble]:
    with IssuerDouble() as double:
        yield double


@pytest.fixture(scope="module")
def service(issuer: IssuerDouble, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running_service(
        tmp_path_factory.mktemp("service"),
        TOKENSVC_ENVIRONMENT="development",
        TOKENSVC_ISSUERS=json.dumps([issuer.config()]),
        TOKENSVC_TOKEN__API_KEY="required",
        TOKENSVC_LIMITS__MINT=f"{LIMIT}/hour",
        TOKENSVC_PROXIES__TRUSTED='["127.0.0.1/32"]',
        TOKENSVC_LIMITS__FAILURES=f"{LIMIT}/hour",
    ) as running:
        yield running


def as_user(issuer: IssuerDouble, service: Service, user: str) -> Client:
    return Client(service.base_url, {"Authorization": f"Bearer {issuer.token(sub=user)}"})


@pytest.mark.parametrize(
    ("user", "path", "query"),
    [("eager", "/v1/token", {"api_key": STREAM_API_KEY}), ("curious", "/v1/me", {})],
)
def test_token_requests_over_the_limit_get_429(
    issuer: IssuerDouble, service: Service, user: str, path: str, query: dict[str, str]
) -> None:
    """`/v1/me` counts too. Other users are not affected, and signing out is always possible."""
    client = as_user(issuer, service, user)
    responses = [client.get(path, query=query) for _ in range(LIMIT + 1)]
    assert [response.status for response in responses] == [200] * LIMIT + [429]
    assert responses[-1].code == "rate_limited"
    assert 0 < int(responses[-1].headers["Retry-After"]) <= 3600
    for left, response in zip((2, 1, 0, 0), responses, strict=True):
        assert response.headers["RateLimit-Policy"] == f'"mint";q={LIMIT};w=3600'
        assert response.headers["RateLimit"].startswith(f'"mint";r={left};t=')
    assert client.get("/v1/me").code == "rate_limited"
    assert client.post("/v1/token", json={"api_key": STREAM_API_KEY}).code == "rate_limited"
    assert client.post("/v1/me/revocations").status == 200
    assert as_user(issuer, service, "patient").get("/v1/me").status == 200


def test_unknown_path_and_method_are_no_failures(service: Service) -> None:
    """They get 404 and 405 and do not count as failed sign-ins."""
    client = Client(service.base_url)
    for _ in range(LIMIT + 1):
        assert client.get("/v1/tokens", valid=False).code == "not_found"
        assert client.request("DELETE", "/v1/token", valid=False).code == "method_not_allowed"
    assert client.get("/v1/token").code == "credentials_missing"


@pytest.mark.sec(55)
def test_failures_over_the_limit_of_an_address_get_429(service: Service) -> None:
    """By the address from the trusted proxy; IPv6 by its network."""

    def fail_from(address: str) -> Response:
        headers = {"Authorization": "Bearer garbage", "X-Forwarded-For": f"10.9.9.9, {address}"}
        return Client(service.base_url, headers).get("/v1/token")

    responses = [fail_from(f"2001:db8:0:1::{number}") for number in range(LIMIT + 3)]
    assert responses[0].code == "credentials_invalid"
    refused = responses[-1]
    assert refused.code == "rate_limited"
    assert refused.headers["RateLimit-Policy"] == f'"failures";q={LIMIT};w=3600'
    assert refused.headers["RateLimit"] == f'"failures";r=0;t={refused.headers["Retry-After"]}'
    assert fail_from("2001:db8:0:2::1").code == "credentials_invalid"
    assert fail_from("203.0.113.7").code == "credentials_invalid"
