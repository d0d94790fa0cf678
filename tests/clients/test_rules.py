"""Properties of the rules of granting."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from testing.service_clients import refusal_of, rights
from tokensvc.clients import rules
from tokensvc.clients.rules import Administrator, Rights
from tokensvc.core.callers import ServiceCaller
from tokensvc.core.errors import Code
from tokensvc.core.scopes import SCOPES

any_rights = st.builds(Rights, st.frozensets(st.sampled_from(sorted(SCOPES))), st.booleans())
times = st.integers(0, 2**40)


def holds(held, of):
    """Return whether `held` includes the rights of `of`."""
    return of.scopes <= held.scopes and (held.vouches or not of.vouches)


def administrator_of(held):
    return rules.service(ServiceCaller("svc.granting", held.scopes, held.vouches))


@pytest.mark.sec(47)
@given(held=any_rights, wanted=any_rights)
def test_client_can_grant_exactly_the_rights_it_has(held, wanted):
    """The refusal names each missing right."""
    if holds(held, wanted):
        rules.check_holds(wanted, administrator_of(held))
        return
    refusal = refusal_of(rules.check_holds, wanted, administrator_of(held))
    assert refusal.code is Code.INSUFFICIENT_SCOPE
    for scope in SCOPES:
        assert (scope in refusal.detail) is (scope in wanted.scopes - held.scopes)
    assert ("vouching" in refusal.detail) is (wanted.vouches and not held.vouches)


@pytest.mark.sec(67)
@given(latest=st.none() | times, wanted=st.just(UNSET) | st.none() | times)
def test_no_new_secret_outlives_that_of_the_administrator(latest, wanted):
    """Any earlier end is kept; without a wish the end is the latest possible one."""
    administrator = Administrator("svc.granting", rights=rights(), expires_at=latest)
    if latest is None or (isinstance(wanted, int) and wanted <= latest):
        expected = None if wanted is UNSET else wanted
    elif wanted is UNSET:
        expected = latest
    else:
        refusal = refusal_of(rules.expiry_of_new_secret, wanted, administrator)
        assert refusal.code is Code.MALFORMED_REQUEST
        return
    assert rules.expiry_of_new_secret(wanted, administrator) == expected


@given(before=any_rights, after=any_rights)
def test_audit_details_describe_the_change_completely(before, after):
    details = rules.change_details(before, after)
    granted, withdrawn = (set(details.get(name, [])) for name in ("granted", "withdrawn"))
    assert (before.scopes | granted) - withdrawn == after.scopes == set(details["scopes"])
    assert details.get("vouches_changed", False) is (before.vouches is not after.vouches)
    assert details["vouches"] is after.vouches
