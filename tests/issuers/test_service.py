"""Issuers as a whole: user IDs, health, and the explanation of a token."""

import logging
from typing import Any, NamedTuple

import pytest
import structlog

from testing.doubles.issuer import IssuerDouble, hang_up
from testing.manual_clock import ManualClock
from tests.issuers.conftest import MakeIssuers
from tests.issuers.refusals import authenticate
from tokensvc.core.errors import Code, Refusal
from tokensvc.core.findings import Finding, State
from tokensvc.core.user_ids import Alphabet

NOW = 1_800_000_000


def failures(findings: dict[str, Finding]) -> dict[str, str]:
    return {check: found.detail for check, found in findings.items() if found.state != State.OK}


def test_prefix_in_extended_alphabet_is_used(idp: IssuerDouble, make_issuers: MakeIssuers) -> None:
    issuers = make_issuers(idp.settings(user_id_prefix="Acme-"), alphabet=Alphabet.EXTENDED)
    assert authenticate(issuers, idp.token()).user_id == "Acme-john"


def test_user_id_is_prefix_and_mapped_claim(idp: IssuerDouble, make_issuers: MakeIssuers) -> None:
    """The prefix is not escaped."""
    issuers = make_issuers(idp.settings(user_id_mapping="escape", user_id_prefix="a_-"))
    assert authenticate(issuers, idp.token(sub="John|1")).user_id == "a_-_4aohn_7c1"


def test_health_shows_state_keys_age_and_error(
    idp: IssuerDouble, make_issuers: MakeIssuers, clock: ManualClock
) -> None:
    issuers = make_issuers(idp.settings())
    assert issuers.health()["acme"].state == "unavailable"
    issuers.refresh()
    fetched_at = int(clock.now)
    health = issuers.health()["acme"]
    assert (health.state, health.keys, health.fetched_at) == ("ok", 1, fetched_at)
    idp.fault = hang_up
    clock.now += 10
    issuers.refresh()
    health = issuers.health()["acme"]
    assert (health.state, health.fetched_at) == ("stale", fetched_at)
    assert health.last_error


def test_issuer_without_sign_in_time_is_logged_as_a_warning(
    idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    """With `iat`, a silent renewal passes a revocation."""
    with structlog.testing.capture_logs() as lines:
        for sign_in_time in ("iat", "auth_time"):
            issuers = make_issuers(idp.settings(name=sign_in_time, sign_in_time=sign_in_time))
            issuers.prepare()
    warned = [line["issuer"] for line in lines if line["event"] == "issuer_sign_in_time_missing"]
    assert warned == ["iat"]
    assert logging.getLogger().level  # the capture leaves the standard library alone


def test_explanation_of_a_valid_token_ends_with_its_user(
    idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    issuers = make_issuers(idp.settings(user_id_prefix="a-"))
    findings = issuers.explain(idp.token())
    assert not failures(findings)
    assert findings.popitem() == ("user id", Finding(State.OK, "a-john"))


class Wrong(NamedTuple):
    check: str
    setting: str
    settings: dict[str, Any]
    claims: dict[str, Any]
    cause: str = ""


WRONG = [
    Wrong("algorithm", "algorithms", {"algorithms": ["ES256"]}, {}, "algorithm"),
    Wrong("type", "types", {"types": ["at+jwt"]}, {}, "type"),
    Wrong("issued in the past", "clock_leeway", {}, {"iat": NOW + 11}, "issued later"),
    Wrong("already valid", "clock_leeway", {}, {"nbf": NOW + 11}, "not valid yet"),
    Wrong("lifetime", "max_lifetime", {"max_lifetime": 3599}, {}, "lifetime"),
    Wrong("audience", "audience", {"audience": "other"}, {}, "audience"),
    Wrong("audience", "audience", {"audience_claim": "azp"}, {}, "audience"),
    Wrong(
        "required claims",
        "required_claims",
        {"required_claims": {"use": "x"}},
        {},
        "required claim",
    ),
    Wrong(
        "required claims",
        "required_claims",
        {"required_claims": {"acme.role": ["member", "guest"]}},
        {"acme": {"role": "admin"}},
        "required claim",
    ),
    Wrong(
        "sign-in",
        "sign_in_time and clock_ahead",
        {},
        {"auth_time": None},
        "no valid auth_time claim: see issuers[].sign_in_time (with iat a silent renewal passes a "
        "revocation)",
    ),
    Wrong("not expired", "clock_leeway", {}, {"iat": NOW - 100, "exp": NOW - 10}, "expired"),
    Wrong("user id", "user_id_claim and user_id_mapping", {}, {"sub": "John"}),
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.check)
def test_explanation_of_a_refused_token_names_the_setting(
    wrong: Wrong, idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    """Only the check with the fault fails; it shows the value and the setting to change."""
    issuers = make_issuers(idp.settings(**wrong.settings))
    token = idp.token(**wrong.claims)
    with pytest.raises(Refusal) as caught:
        authenticate(issuers, token)
    found = failures(issuers.explain(token))
    assert list(found) == [wrong.check]
    assert caught.value.reason == wrong.cause
    assert caught.value.detail in found[wrong.check]
    assert found[wrong.check].endswith(f"Setting: {wrong.setting}.")


def test_explanation_names_the_setting_for_a_sign_in_from_the_future(
    idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    issuers = make_issuers(idp.settings())
    found = failures(issuers.explain(idp.token(auth_time=NOW + 3)))
    assert list(found) == ["sign-in"]
    for word in ("sign-in time in the future", str(NOW + 3), "clock_ahead"):
        assert word in found["sign-in"]


def test_explanation_ends_at_a_malformed_token_or_unknown_issuer(
    idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    """It shows no control characters to the terminal."""
    issuers = make_issuers(idp.settings())
    assert list(failures(issuers.explain("junk"))) == ["form"]
    found = failures(issuers.explain(idp.token(iss="https://x.example/\x1b[31m\n")))
    assert list(found) == ["issuer"]
    assert "\\u001b[31m\\n" in found["issuer"]


def test_explanation_names_an_outage(idp: IssuerDouble, make_issuers: MakeIssuers) -> None:
    issuers = make_issuers(idp.settings())
    idp.fault = hang_up
    found = failures(issuers.explain(idp.token()))
    assert list(found) == ["signature"]
    assert "RemoteDisconnected" in found["signature"]


def test_refusal_reveals_no_setting_and_no_value_of_the_token(
    idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    issuers = make_issuers(idp.settings(audience="secret-audience"))
    for token in (idp.token(aud="x" * 20), idp.token(iss="https://x.example")):
        with pytest.raises(Refusal) as caught:
            authenticate(issuers, token)
        assert caught.value.code is Code.CREDENTIALS_INVALID
        for word in ("secret-audience", "xxxx", "x.example", idp.issuer):
            assert word not in caught.value.detail + caught.value.reason
