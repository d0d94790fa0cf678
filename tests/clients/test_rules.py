"""Properties of the rules of granting."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from testing.service_clients import refusal_of, rights
from tokensvc.clients import rules
from tokensvc.clients.rules import Grantor, Rights
from tokensvc.core.callers import ServiceCaller
from tokensvc.core.errors import Code
from tokensvc.core.scopes import SCOPES

any_rights = st.builds(Rights, st.frozensets(st.sampled_from(sorted(SCOPES))), st.booleans())
times = st.integers(0, 2**40)


def holds(held, of):
    """Return whether `held` includes the rights of `of`."""
    return of.scopes <= held.scopes and (held.vouches or not of.vouches)


def grantor_of(held):
    return rules.service(ServiceCaller("svc.granting", held.scopes, held.vouches))


@pytest.mark.sec(47)
@given(held=any_rights, wanted=any_rights)
def test_client_can_grant_exactly_the_rights_it_has(held, wanted):
    """The refusal names each missing right."""
    if holds(held, wanted):
        rules.check_holds(wanted, grantor_of(held))
        return
    refusal = refusal_of(rules.check_holds, wanted, grantor_of(held))
    assert refusal.code is Code.INSUFFICIENT_SCOPE
    for scope in SCOPES:
        assert (scope in refusal.detail) is (scope in wanted.scopes - held.scopes)
    assert ("vouching" in refusal.detail) is (wanted.vouches and not held.vouches)


@pytest.mark.sec(67)
@given(latest=st.none() | times, wanted=st.just(UNSET) | st.none() | times)
def test_no_new_secret_outlives_the_grantors(latest, wanted):
    """Any earlier end is kept; without a wish the end is the latest possible one."""
    grantor = Grantor("svc.granting", rights=rights(), expires_at=latest)
    if latest is None or (isinstance(wanted, int) and wanted <= latest):
        expected = None if wanted is UNSET else wanted
    elif wanted is UNSET:
        expected = latest
    else:
        refusal = refusal_of(rules.expiry_of_new_secret, wanted, grantor)
        assert refusal.code is Code.MALFORMED_REQUEST
        return
    assert rules.expiry_of_new_secret(wanted, grantor) == expected


@given(before=any_rights, after=any_rights)
def test_audit_text_describes_the_change_completely(before, after):
    facts = dict(fact.split(": ") for fact in rules.describe_change(before, after))
    scopes = set(before.scopes)
    for word in facts.get("scopes", "").split():
        (scopes.add if word[0] == "+" else scopes.remove)(word[1:])
    assert scopes == after.scopes
    assert {"yes": True, "no": False, None: before.vouches}[facts.get("vouches")] is after.vouches
    assert (facts == {}) is (before == after)


@pytest.mark.parametrize(
    ("facts", "reason", "expected"),
    [
        ([], None, None),
        (["secret: sec_1"], None, "secret: sec_1"),
        ([], "why", "reason: why"),
        (["secret: sec_1"], "x; scopes: +all", "secret: sec_1; reason: x; scopes: +all"),
    ],
)
def test_reason_of_the_actor_comes_last(facts, reason, expected):
    """So that no reason can look like a fact of this service."""
    assert rules.audit_reason(facts, reason) == expected
