"""When a user signed in, as each kind of provider tells it."""

from typing import Any

import pytest

from tokensvc.core.errors import Code, Refusal
from tokensvc.core.user_ids import Alphabet
from tokensvc.issuers import rules
from tokensvc.issuers.rules import ClaimRules
from tokensvc.issuers.settings import IssuerSettings

NOW = 1_800_000_000


def claim_rules(sign_in_time: str) -> ClaimRules:
    settings = IssuerSettings(
        name="acme",
        issuer="https://id.acme.example",
        audience="chat",
        jwks_uri="https://id.acme.example/jwks.json",
        sign_in_time=sign_in_time,
    )
    return ClaimRules.of(settings, Alphabet.DOCUMENTED)


def entry(timestamp: Any, method: str = "password") -> dict[str, Any]:
    return {"method": method, "timestamp": timestamp}


@pytest.mark.parametrize(
    ("name", "value", "signed_in_at"),
    [
        ("auth_time", NOW - 5, NOW - 5),
        ("auth_time", 0, 0),
        ("iat", NOW, NOW),
        ("amr", [entry(NOW - 5)], NOW - 5),
        ("amr", [entry(NOW - 5), entry(NOW - 3, "totp"), entry(NOW - 4)], NOW - 3),
        ("amr", [entry(NOW - 5), entry(NOW, "token_refresh")], NOW - 5),
        ("amr", ["pwd", entry(NOW - 5), {"method": "otp"}, entry("1"), entry(2.5)], NOW - 5),
    ],
)
def test_the_sign_in_is_the_latest_that_the_claim_tells(
    name: str, value: Any, signed_in_at: int
) -> None:
    """Of several methods the latest counts; a silent refresh is no sign-in."""
    assert rules.signed_in_at(claim_rules(name), {name: value}, NOW) == signed_in_at


@pytest.mark.sec(8)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("auth_time", None),
        ("auth_time", str(NOW)),
        ("auth_time", NOW + 11),
        ("iat", 1.5),
        ("amr", None),
        ("amr", []),
        ("amr", ["pwd", "mfa"]),
        ("amr", NOW),
        ("amr", entry(NOW)),
        ("amr", [entry(NOW, "token_refresh")]),
        ("amr", [entry(True)]),
        ("amr", [entry(-1)]),
        ("amr", [entry(NOW + 11)]),
        ("amr", [[entry(NOW)]]),
    ],
)
def test_without_a_time_of_the_sign_in_there_is_none(name: str, value: Any) -> None:
    """The refusal names the claim, so that the operator knows what the provider must add."""
    claims = {"iat": NOW, "auth_time": NOW, "amr": [entry(NOW)], name: value}
    with pytest.raises(Refusal) as caught:
        rules.signed_in_at(claim_rules(name), claims, NOW)
    assert caught.value.code is Code.CREDENTIALS_INVALID
    assert f"`{name}`" in caught.value.detail
