"""Properties of the rules of granting."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from testing.service_clients import refusal_of
from tokensvc.clients import rules
from tokensvc.clients.rules import Rights
from tokensvc.core.callers import ServiceCaller
from tokensvc.core.errors import Code
from tokensvc.core.scopes import SCOPES

any_rights = st.builds(Rights, st.frozensets(st.sampled_from(sorted(SCOPES))), st.booleans())


def holds(rights, of):
    """Return whether `rights` include those of `of`."""
    return of.scopes <= rights.scopes and (rights.vouches or not of.vouches)


def grantor_of(rights):
    return rules.service(ServiceCaller("svc.granting", rights.scopes, rights.vouches))


@pytest.mark.sec(47)
@given(held=any_rights, wanted=any_rights)
def test_client_can_grant_exactly_the_rights_it_has(held, wanted):
    """The refusal names each missing right."""
    if holds(held, wanted):
        rules.check_grant(wanted, grantor_of(held))
        return
    refusal = refusal_of(rules.check_grant, wanted, grantor_of(held))
    assert refusal.code is Code.INSUFFICIENT_SCOPE
    for scope in SCOPES:
        assert (scope in refusal.detail) is (scope in wanted.scopes - held.scopes)
    assert ("vouching" in refusal.detail) is (wanted.vouches and not held.vouches)


@pytest.mark.sec(47)
@given(held=any_rights, before=any_rights, after=any_rights)
def test_allowed_change_adds_only_rights_of_the_grantor(held, before, after):
    """So no chain of changes can add rights that no grantor had."""
    added = after.minus(before)
    assume(holds(held, added))
    rules.check_grant(added, grantor_of(held))
    assert after.scopes <= before.scopes | held.scopes
    assert not after.vouches or before.vouches or held.vouches


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
