"""A service with the strictest settings, over a socket: limits, a required key, lost clients."""

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


def test_the_key_is_required(issuer: IssuerDouble, service: Service) -> None:
    """A client must say which key it was built with, where the settings want it."""
    client = as_user(issuer, service, "careless")
    assert client.post("/v1/token").code == "api_key_required"
    assert client.post("/v1/token", json={"api_key": STREAM_API_KEY}).status == 200


def test_too_many_tokens(issuer: IssuerDouble, service: Service) -> None:
    """The fields count down, the refusal says when to come back, and other users are not meant."""
    client = as_user(issuer, service, "eager")
    answers = [client.get("/v1/token", query={"api_key": STREAM_API_KEY}) for _ in range(LIMIT + 1)]
    assert [answer.status for answer in answers] == [200] * LIMIT + [429]
    refused = answers[-1]
    assert refused.code == "rate_limited"
    assert 0 < int(refused.headers["Retry-After"]) <= 3600
    for left, answer in zip((2, 1, 0, 0), answers, strict=True):
        assert answer.headers["RateLimit-Policy"] == f'"mint";q={LIMIT};w=3600'
        assert answer.headers["RateLimit"].startswith(f'"mint";r={left};t=')
    assert client.get("/v1/me").code == "rate_limited"
    assert as_user(issuer, service, "patient").get("/v1/me").status == 200


def test_too_many_questions(issuer: IssuerDouble, service: Service) -> None:
    """Asking who one is counts as asking for a token; signing oneself out is always possible."""
    client = as_user(issuer, service, "curious")
    answers = [client.get("/v1/me") for _ in range(LIMIT + 1)]
    assert [answer.status for answer in answers] == [200] * LIMIT + [429]
    for left, answer in zip((2, 1, 0, 0), answers, strict=True):
        assert answer.headers["RateLimit-Policy"] == f'"mint";q={LIMIT};w=3600'
        assert answer.headers["RateLimit"].startswith(f'"mint";r={left};t=')
    assert client.post("/v1/token", json={"api_key": STREAM_API_KEY}).code == "rate_limited"
    assert client.post("/v1/me/revocations").status == 200


def test_a_query_where_the_body_asks(issuer: IssuerDouble, service: Service) -> None:
    """What a query asks of a `POST` is refused, not passed over; a query has no user object."""
    client = as_user(issuer, service, "confused")
    refused = client.post("/v1/token", query="ttl=60", valid=False)
    assert (refused.status, refused.code) == (400, "malformed_request")
    refused = client.get("/v1/token", query="user=john", valid=False)
    assert refused.status == 400
    assert "`user` is unknown in the query" in refused.json["detail"]


def test_lost_clients(service: Service) -> None:
    """A path and a method that are not there are told apart, and are no failures to sign in."""
    client = Client(service.base_url)
    for _ in range(LIMIT + 1):
        assert client.get("/v1/tokens", valid=False).code == "not_found"
        assert client.request("DELETE", "/v1/token", valid=False).code == "method_not_allowed"
    assert client.get("/v1/token").code == "credentials_missing"


@pytest.mark.sec(55)
def test_too_many_failures(service: Service) -> None:
    """Failures count by the address that our own proxy names, an IPv6 one by its network."""

    def fail_from(address: str) -> Response:
        headers = {"Authorization": "Bearer garbage", "X-Forwarded-For": f"10.9.9.9, {address}"}
        return Client(service.base_url, headers).get("/v1/token")

    answers = [fail_from(f"2001:db8:0:1::{number}") for number in range(LIMIT + 3)]
    assert answers[0].code == "credentials_invalid"
    refused = answers[-1]
    assert refused.code == "rate_limited"
    assert refused.headers["RateLimit-Policy"] == f'"failures";q={LIMIT};w=3600'
    assert refused.headers["RateLimit"] == f'"failures";r=0;t={refused.headers["Retry-After"]}'
    assert fail_from("2001:db8:0:2::1").code == "credentials_invalid"
    assert fail_from("203.0.113.7").code == "credentials_invalid"
