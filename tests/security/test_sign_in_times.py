"""SECURITY 12 and 32: a token's sign-in time does not carry a session past its revocation."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testing.doubles.issuer import IssuerDouble
from testing.http_client import Client
from testing.response import Response
from testing.service import Service, running_service
from tokensvc.callers.rules import check_standing
from tokensvc.core.callers import UserCaller
from tokensvc.core.errors import Code, Refusal
from tokensvc.standing.rules import Standing

NOW = 1_800_000_000


@pytest.fixture(scope="module")
def issuer() -> Iterator[IssuerDouble]:
    with IssuerDouble() as double:
        yield double


@pytest.fixture(scope="module")
def service(issuer: IssuerDouble, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Yield a service with a provider like Supabase."""
    folder: Path = tmp_path_factory.mktemp("service")
    configured = issuer.config(sign_in_time="amr", clock_ahead=0, clock_leeway=60)
    with running_service(folder, TOKENSVC_ISSUERS=json.dumps([configured])) as running:
        yield running


def mint(service: Service, issuer: IssuerDouble, user_id: str, amr: Any) -> Response:
    token = issuer.token(sub=user_id, auth_time=None, amr=amr)
    return Client(service.base_url, {"Authorization": f"Bearer {token}"}).post("/v1/token")


def factor(method: str, timestamp: int) -> dict[str, Any]:
    return {"method": method, "timestamp": timestamp}


@pytest.mark.sec(32)
def test_revoked_session_with_a_new_second_factor_is_refused(
    service: Service, issuer: IssuerDouble
) -> None:
    """The second factor is later than the revocation; the sign-in of the session is not."""
    password = factor("password", int(time.time()) - 60)
    token = issuer.token(sub="john", auth_time=None, amr=[password])
    client = Client(service.base_url, {"Authorization": f"Bearer {token}"})
    cut_off = client.post("/v1/me/revocations").json["tokens_valid_after"]
    while time.time() < cut_off:
        time.sleep(0.05)
    second_factor = factor("totp", cut_off)
    refused = mint(service, issuer, "john", [password, second_factor])
    assert (refused.status, refused.code) == (401, "sign_in_required")
    assert mint(service, issuer, "john", [factor("password", cut_off)]).status == 200


@pytest.mark.sec(12, 32)
def test_sign_in_from_the_future_gets_no_token(service: Service, issuer: IssuerDouble) -> None:
    """A revocation of the next minute would not cover it, whatever leeway `iat` has."""
    refused = mint(service, issuer, "john", [factor("password", int(time.time()) + 50)])
    assert (refused.status, refused.code) == (401, "credentials_invalid")
    assert "sign-in time in the future" in refused.json["detail"]


@pytest.mark.sec(12, 32)
@pytest.mark.parametrize("ahead", [0, 2, 60])
def test_sign_in_time_is_accepted_up_to_clock_ahead(ahead: int) -> None:
    """To the second, by the clock that dates revocations; before the user's state is revealed."""
    standing = Standing(now=NOW, suspended=True, tokens_valid_after=None, floor=0, ring_version=0)

    def code(signed_in_at: int) -> Code:
        with pytest.raises(Refusal) as refused:
            check_standing(UserCaller("john", "acme", signed_in_at, ahead), standing)
        return refused.value.code

    assert code(NOW + ahead) is Code.USER_SUSPENDED
    assert code(NOW + ahead + 1) is Code.CREDENTIALS_INVALID


def test_missing_sign_in_claim_is_named_with_its_setting(
    service: Service, issuer: IssuerDouble
) -> None:
    """In the response and in the log line."""
    refused = mint(service, issuer, "john", None)
    assert (refused.status, refused.code) == (401, "credentials_invalid")
    for word in ("issuer acme", "`amr`", "`issuers[].sign_in_time`", "with `iat`"):
        assert word in refused.json["detail"]
    request_id = refused.json["request_id"]
    (line,) = [line for line in service.log_lines() if line.get("request_id") == request_id]
    assert line["issuer"] == "acme"
    for word in ("amr", "issuers[].sign_in_time", "with iat", "revocation"):
        assert word in line["reason"]
