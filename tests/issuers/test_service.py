"""Issuers as a whole: start-up faults, user ids by name, health, and the explanation of a token."""

import logging
from typing import Any, NamedTuple

import pytest
import structlog

from testing.doubles.issuer import IssuerDouble, hang_up
from tests.conftest import ManualClock
from tests.issuers.conftest import MakeIssuers
from tokensvc.core.errors import Code, Refusal
from tokensvc.core.user_ids import Alphabet
from tokensvc.issuers.explain import Finding

NOW = 1_800_000_000


def failures(findings: list[Finding]) -> dict[str, str]:
    return {one.check: one.detail for one in findings if not one.ok}


def test_prefix_in_extended_alphabet_is_used(idp: IssuerDouble, make_issuers: MakeIssuers) -> None:
    issuers = make_issuers(idp.settings(user_id_prefix="Acme-"), alphabet=Alphabet.EXTENDED)
    assert issuers.authenticate(idp.token()).user_id == "Acme-john"


def test_the_user_id_is_the_mapped_claim_behind_the_prefix(
    idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    """The prefix itself is never escaped."""
    issuers = make_issuers(idp.settings(user_id_mapping="escape", user_id_prefix="a_-"))
    assert issuers.authenticate(idp.token(sub="John|1")).user_id == "a_-_4aohn_7c1"


def test_health_tells_what_an_operator_needs(
    idp: IssuerDouble, make_issuers: MakeIssuers, clock: ManualClock
) -> None:
    """State, number of keys, age and the last error, before and after fetches."""
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


def test_issuers_that_sign_in_silently_are_warned_of(
    idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    """Where only `iat` is to be had, the start says what a revocation is worth."""
    with structlog.testing.capture_logs() as lines:
        for sign_in_time in ("iat", "auth_time"):
            issuers = make_issuers(idp.settings(name=sign_in_time, sign_in_time=sign_in_time))
            issuers.prepare()
    warned = [line["issuer"] for line in lines if line["event"] == "issuer_sign_in_time_missing"]
    assert warned == ["iat"]
    assert logging.getLogger().level  # the capture leaves the standard library alone


def test_a_good_token_is_explained_with_its_user(
    idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    """Every check passes, and the last one tells the mapped id."""
    issuers = make_issuers(idp.settings(user_id_prefix="a-"))
    findings = issuers.explain(idp.token())
    assert not failures(findings)
    assert findings[-1] == ("user id", True, "a-john")


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
    Wrong("sign-in", "sign_in_time", {}, {"auth_time": None}, "no sign-in time"),
    Wrong("not expired", "clock_leeway", {}, {"iat": NOW - 100, "exp": NOW - 10}, "expired"),
    Wrong("user id", "user_id_claim and user_id_mapping", {}, {"sub": "John"}),
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.check)
def test_a_refused_token_is_explained_with_the_setting(
    wrong: Wrong, idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    """One thing is wrong: that check alone fails, and says what was seen and what to change."""
    issuers = make_issuers(idp.settings(**wrong.settings))
    token = idp.token(**wrong.claims)
    with pytest.raises(Refusal) as caught:
        issuers.authenticate(token)
    found = failures(issuers.explain(token))
    assert list(found) == [wrong.check]
    assert caught.value.reason == wrong.cause
    assert caught.value.detail in found[wrong.check]
    assert found[wrong.check].endswith(f"Setting: {wrong.setting}.")


def test_a_token_of_nobody_is_explained_as_far_as_it_goes(
    idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    """Junk and unknown issuers end the explanation; a stranger's text cannot touch a terminal."""
    issuers = make_issuers(idp.settings())
    assert list(failures(issuers.explain("junk"))) == ["form"]
    found = failures(issuers.explain(idp.token(iss="https://x.example/\x1b[31m\n")))
    assert list(found) == ["issuer"]
    assert "\\u001b[31m\\n" in found["issuer"]


def test_an_outage_is_explained_as_one(idp: IssuerDouble, make_issuers: MakeIssuers) -> None:
    """The signature cannot be checked, and the reason is the provider's failure."""
    issuers = make_issuers(idp.settings())
    idp.fault = hang_up
    found = failures(issuers.explain(idp.token()))
    assert list(found) == ["signature"]
    assert "RemoteDisconnected" in found["signature"]


def test_a_refusal_says_nothing_of_the_settings(
    idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    """What the public reads names no audience, no issuer and no value of the token."""
    issuers = make_issuers(idp.settings(audience="secret-audience"))
    for token in (idp.token(aud="x" * 20), idp.token(iss="https://x.example")):
        with pytest.raises(Refusal) as caught:
            issuers.authenticate(token)
        assert caught.value.code is Code.CREDENTIALS_INVALID
        for word in ("secret-audience", "xxxx", "x.example", idp.issuer):
            assert word not in caught.value.detail + caught.value.reason
