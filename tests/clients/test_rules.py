"""Who may hand on what, as properties of the rule."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from testing.service_clients import refusal_of
from tokensvc.clients import rules
from tokensvc.clients.rules import Rights
from tokensvc.clients.scopes import SCOPES
from tokensvc.core.callers import ServiceCaller
from tokensvc.core.errors import Code

any_rights = st.builds(Rights, st.frozensets(st.sampled_from(sorted(SCOPES))), st.booleans())


def holds(rights, of):
    """Tell whether the one has all that the other has."""
    return of.scopes <= rights.scopes and (rights.vouches or not of.vouches)


def grantor_of(rights):
    return rules.service(ServiceCaller("svc.granting", rights.scopes, rights.vouches))


@pytest.mark.sec(47)
@given(held=any_rights, wanted=any_rights)
def test_a_client_hands_on_what_it_holds_and_nothing_else(held, wanted):
    """Everything that it holds it may grant, and the refusal names each thing that it lacks."""
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
def test_a_change_leaves_nobody_with_more_than_there_was(held, before, after):
    """What a change that is allowed adds, its maker has: no chain of changes gains any."""
    added = after.minus(before)
    assume(holds(held, added))
    rules.check_grant(added, grantor_of(held))
    assert after.scopes <= before.scopes | held.scopes
    assert not after.vouches or before.vouches or held.vouches


@given(before=any_rights, after=any_rights)
def test_the_trail_says_what_a_change_did(before, after):
    """From what stood before and what is said follows what stands; nothing is said of no change."""
    facts = dict(fact.split(": ") for fact in rules.describe_change(before, after))
    scopes = set(before.scopes)
    for word in facts.get("scopes", "").split():
        (scopes.add if word[0] == "+" else scopes.remove)(word[1:])
    assert scopes == after.scopes
    assert {"yes": True, "no": False, None: before.vouches}[facts.get("vouches")] is after.vouches
    assert (facts == {}) is (before == after)


@given(rights=any_rights)
def test_an_operator_may_grant_everything(rights):
    """Whoever has the database could write the rows themselves."""
    rules.check_grant(rights, rules.operator("cli:ada"))


@pytest.mark.parametrize(
    ("facts", "reason", "said"),
    [
        ([], None, None),
        (["secret: sec_1"], None, "secret: sec_1"),
        ([], "why", "reason: why"),
        (["secret: sec_1"], "x; scopes: +all", "secret: sec_1; reason: x; scopes: +all"),
    ],
)
def test_the_actors_words_come_last(facts, reason, said):
    """So that nobody can write what looks like a fact of ours in front of them."""
    assert rules.audit_reason(facts, reason) == said
