"""The credential of a request: exactly one, in `Authorization`."""

import base64
from http import HTTPStatus
from typing import Any

import pytest

from testing.doubles.issuer import IssuerDouble
from testing.http_client import Client
from tests.http.conftest import TOKEN, Log, Probe
from tokensvc.core.callers import BasicCredential, BearerCredential
from tokensvc.core.current_request import CurrentRequest
from tokensvc.http.body import NoParameters, parse_query
from tokensvc.http.credentials import unverified_credential
from tokensvc.http.respond import json_response
from tokensvc.issuers.verify import parse
from tokensvc.server.hooks import Failure
from tokensvc.tokens.signer import MintedToken


def basic(text: str | bytes) -> str:
    encoded = text if isinstance(text, bytes) else text.encode()
    return "Basic " + base64.b64encode(encoded).decode()


@pytest.fixture
def credentials(probe: Probe) -> list[Any]:
    """Return the credentials of a test's requests."""
    found: list[Any] = []

    def view() -> Any:
        found.append(unverified_credential())
        return json_response(TOKEN)

    probe.view = view
    return found


@pytest.mark.parametrize(
    ("authorization", "credential"),
    [
        ("Bearer abc.def.ghi", BearerCredential("abc.def.ghi")),
        ("bearer abc", BearerCredential("abc")),
        ("Bearer   abc ", BearerCredential("abc")),
        (basic("svc.shop:tks_secret"), BasicCredential("svc.shop", "tks_secret")),
        (basic("svc.shop:a:b"), BasicCredential("svc.shop", "a:b")),
        (basic(":"), BasicCredential("", "")),
        (basic("svc.shöp:pä%20ss"), BasicCredential("svc.shöp", "pä%20ss")),
    ],
)
def test_bearer_and_basic_credentials_are_parsed(
    client: Client, credentials: list[Any], authorization: str, credential: Any
) -> None:
    """Schemes ignore case; a secret can contain a colon and is not percent-decoded."""
    assert client.get("/v1/token", headers={"Authorization": authorization}).status == 200
    assert credentials == [credential]


def test_repr_of_a_credential_has_no_secret() -> None:
    for credential in (BearerCredential("s3cret"), BasicCredential("svc.shop", "s3cret")):
        assert "s3cret" not in repr(credential)
    with IssuerDouble() as issuer:
        token = issuer.token()
    unverified = parse(token)
    shown = repr(unverified)
    assert not any(part in shown for part in token.split("."))
    assert repr(unverified.signature) not in shown
    assert "s3cret" not in repr(MintedToken("s3cret", "john", "key", 1, 2, 1, None))


def test_repr_of_a_request_has_no_credential() -> None:
    request = CurrentRequest({"HTTP_AUTHORIZATION": "s3cret"}, "id", "203.0.113.1", body=b"s3cret")
    failure = Failure(ValueError("s3cret"), HTTPStatus.BAD_REQUEST, "detail", "203.0.113.1")
    assert "s3cret" not in repr(request) + repr(failure)


@pytest.mark.parametrize(
    ("authorization", "status", "code"),
    [
        (None, 401, "credentials_missing"),
        ("", 401, "credentials_missing"),
        ("Bearer", 401, "credentials_missing"),
        ("Bearer  ", 401, "credentials_missing"),
        ("abc.def.ghi", 401, "credentials_missing"),
        ("Digest username=x", 401, "credentials_invalid"),
        ("Basic !!!", 401, "credentials_invalid"),
        (basic("svc.shop:secret").replace("c", "c!"), 401, "credentials_invalid"),
        (basic("no colon"), 401, "credentials_invalid"),
        (basic(b"\xff:\xff"), 401, "credentials_invalid"),
    ],
)
def test_missing_or_malformed_credential_gets_401(
    client: Client, credentials: list[Any], authorization: str | None, status: int, code: str
) -> None:
    """With a challenge and the expected credential."""
    headers = {} if authorization is None else {"Authorization": authorization}
    response = client.get("/v1/token", headers=headers)
    assert (response.status, response.code) == (status, code)
    assert "Authorization" in response.json["detail"]
    assert response.headers["Cache-Control"] == "no-store"
    assert not credentials


@pytest.mark.sec(49)
@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer abc,Bearer def",
        "Bearer abc, " + basic("svc.shop:secret"),
        basic("svc.shop:secret") + ",Bearer abc",
    ],
)
def test_two_credentials_get_400(
    client: Client, credentials: list[Any], authorization: str
) -> None:
    """The server joins two `Authorization` fields; neither is chosen."""
    response = client.get("/v1/token", headers={"Authorization": authorization})
    assert (response.status, response.code) == (400, "malformed_request")
    assert "one credential" in response.json["detail"]
    assert not credentials


@pytest.mark.sec(49)
@pytest.mark.parametrize(
    "query",
    [
        "access_token=s3cret-value",
        "token=s3cret-value",
        "user_id=john&Access_Token=s3cret-value",
        "%74oken=s3cret-value",
        "client_id=a&client_secret=s3cret-value",
        "refresh_token=s3cret-value",
        "password=s3cret-value",
        "jwt=s3cret-value",
    ],
)
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer abc"}])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_credential_in_the_query_gets_400(
    log: Log, probe: Probe, method: str, query: str, headers: dict[str, str]
) -> None:
    """Also next to a valid credential, and it is not logged."""
    for look in (unverified_credential, lambda: parse_query(NoParameters)):
        probe.view = look
        response = Client(probe.app()).request(
            method, "/v1/token", query=query, headers=headers, valid=False
        )
        assert (response.status, response.code) == (400, "malformed_request")
        assert "leaked" in response.json["detail"]
        assert "s3cret" not in log.text + response.text
