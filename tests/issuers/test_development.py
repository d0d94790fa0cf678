"""The issuer of `make run`."""

from pathlib import Path

import pytest

from development.issuer import DevelopmentIssuer
from testing.manual_clock import ManualClock
from tests.issuers.conftest import MakeIssuers
from tests.issuers.refusals import authenticate
from tokensvc.core.errors import Code, Refusal

URL = "http://127.0.0.1:8000/development-issuer"


def development(folder: Path) -> DevelopmentIssuer:
    return DevelopmentIssuer(folder / "var" / "development-issuer.key", URL, "tokensvc")


def test_issued_token_is_accepted(
    tmp_path: Path, make_issuers: MakeIssuers, clock: ManualClock
) -> None:
    issuer = development(tmp_path)
    public_key = tmp_path / "var" / "development-issuer.key.pub"
    assert b"PRIVATE" not in public_key.read_bytes()
    caller = authenticate(
        make_issuers(issuer.issuer_settings()), issuer.issue("demo-user", int(clock.now), 3600)
    )
    assert (caller.user_id, caller.issuer) == ("demo-user", "development")
    assert caller.signed_in_at == int(clock.now)


def test_issued_token_expires(
    tmp_path: Path, make_issuers: MakeIssuers, clock: ManualClock
) -> None:
    issuer = development(tmp_path)
    token = issuer.issue("demo-user", int(clock.now), 60)
    issuers = make_issuers(issuer.issuer_settings())
    clock.now += 60 + 10
    with pytest.raises(Refusal) as caught:
        authenticate(issuers, token)
    assert caught.value.code is Code.CREDENTIALS_EXPIRED
