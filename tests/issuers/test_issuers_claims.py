"""The sign-in time in the tokens of each kind of provider."""

from typing import Any

import pytest

from tokensvc.core.errors import Code, Refusal
from tokensvc.issuers import rules
from tokensvc.issuers.settings import IssuerSettings

NOW = 1_800_000_000


def issuer(sign_in_time: str) -> IssuerSettings:
    return IssuerSettings(
        name="acme",
        issuer="https://id.acme.example",
        audience="chat",
        jwks_uri="https://id.acme.example/jwks.json",
        sign_in_time=sign_in_time,
    )


def entry(timestamp: Any, method: str = "password") -> dict[str, Any]:
    return {"method": method, "timestamp": timestamp}


@pytest.mark.parametrize(
    ("name", "value", "signed_in_at"),
    [
        ("auth_time", NOW - 5, NOW - 5),
        ("auth_time", 0, 0),
        ("iat", NOW, NOW),
        ("amr", [entry(NOW - 5)], NOW - 5),
        ("amr", [entry(NOW - 3, "totp"), entry(NOW - 5), entry(NOW - 4)], NOW - 5),
        ("amr", [entry(NOW - 5), entry(NOW, "token_refresh")], NOW - 5),
        ("amr", [entry(NOW - 5, "token_refresh"), entry(NOW, "totp")], NOW - 5),
        ("amr", ["pwd", entry(NOW - 5), {"method": "otp"}, entry("1"), entry(2.5)], NOW - 5),
    ],
)
def test_earliest_sign_in_of_the_claim_counts(name: str, value: Any, signed_in_at: int) -> None:
    """A second factor or a silent refresh in the same session is not a new sign-in."""
    assert rules.signed_in_at(issuer(name), {name: value}) == signed_in_at


@pytest.mark.sec(8)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("auth_time", None),
        ("auth_time", str(NOW)),
        ("iat", 1.5),
        ("amr", None),
        ("amr", []),
        ("amr", ["pwd", "mfa"]),
        ("amr", NOW),
        ("amr", entry(NOW)),
        ("amr", [entry(NOW, "token_refresh")]),
        ("amr", [entry(True)]),
        ("amr", [entry(-1)]),
        ("amr", [[entry(NOW)]]),
    ],
)
def test_missing_sign_in_time_is_refused(name: str, value: Any) -> None:
    """The refusal names the claim that the operator must add at the provider."""
    claims = {"iat": NOW, "auth_time": NOW, "amr": [entry(NOW)], name: value}
    with pytest.raises(Refusal) as caught:
        rules.signed_in_at(issuer(name), claims)
    assert caught.value.code is Code.CREDENTIALS_INVALID
    assert f"`{name}`" in caught.value.detail
