"""Which events an issuer accepts: by e-mail address, by age, and while its keys are unknown."""

import pytest

from testing.doubles.events import (
    AUDIENCE,
    RISC,
    SESSION_REVOKED,
    claims_of,
    iss_sub,
    logout_token,
    security_event,
)
from testing.doubles.issuer import IssuerDouble
from testing.manual_clock import ManualClock
from tests.issuers.conftest import MakeIssuers
from tokensvc.core.errors import Code, Refusal
from tokensvc.core.findings import State
from tokensvc.issuers.events import Effect, EventForm, ProviderEvent, session_key
from tokensvc.issuers.service import Issuers

DAY = 86400
EMAIL = {"format": "email", "email": "ada@example.com"}


@pytest.fixture
def make_by_email(make_issuers: MakeIssuers, idp: IssuerDouble) -> MakeIssuers:
    """Return a function that builds an issuer with these members of `events`."""

    def make(**members: object) -> Issuers:
        events = {"audience": AUDIENCE, **members}
        return make_issuers(
            idp.settings(user_id_claim="email", user_id_mapping="escape", events=events)
        )

    return make


@pytest.fixture
def issuers(make_by_email: MakeIssuers) -> Issuers:
    return make_by_email()


@pytest.fixture
def by_subject(make_issuers: MakeIssuers, idp: IssuerDouble) -> Issuers:
    """Return an issuer whose users are known by their subject."""
    return make_issuers(idp.settings(events={"audience": AUDIENCE}))


def refusal_of(issuers: Issuers, form: EventForm, token: str) -> Refusal:
    with pytest.raises(Refusal) as caught:
        issuers.event("acme", form, token)
    return caught.value


def pushed(issuers: Issuers, token: str) -> ProviderEvent:
    event = issuers.event("acme", EventForm.SECURITY_EVENT, token)
    assert event is not None
    return event


def test_user_is_named_by_a_verified_email(issuers: Issuers, idp: IssuerDouble) -> None:
    token = security_event(idp, sub_id={**EMAIL, "email_verified": True})
    assert pushed(issuers, token).user_id == "ada@example_2ecom"


@pytest.mark.sec(72)
@pytest.mark.parametrize("verified", [{}, {"email_verified": False}, {"email_verified": "true"}])
def test_email_that_is_not_verified_names_no_user_unless_the_provider_verifies_each(
    verified: dict[str, object], make_by_email: MakeIssuers, idp: IssuerDouble
) -> None:
    """A person who deletes an account with the address of another user must not erase that user."""
    token = security_event(idp, f"{RISC}account-purged", sub_id={**EMAIL, **verified})
    refused = refusal_of(make_by_email(purge_erases=True), EventForm.SECURITY_EVENT, token)
    assert (refused.code, refused.reason.partition(":")[0]) == (
        Code.MALFORMED_REQUEST,
        "e-mail not verified",
    )
    trusting = make_by_email(purge_erases=True, trusts_email=True)
    event = pushed(trusting, token)
    assert (event.user_id, event.effect) == ("ada@example_2ecom", Effect.ERASE)


def test_security_event_without_exp_is_accepted_and_remembered_for_a_day(
    by_subject: Issuers, idp: IssuerDouble, clock: ManualClock
) -> None:
    """Its sender may repeat it for hours. A logout is accepted for two minutes."""
    token = security_event(idp, sub="ada")
    issued_at = int(clock.now)
    clock.now += DAY
    assert pushed(by_subject, token).remembered_until > issued_at + DAY
    clock.now += 1
    assert refusal_of(by_subject, EventForm.SECURITY_EVENT, token).reason == "too old"
    logout = logout_token(idp, sub="ada", exp=None)
    clock.now += 120
    assert by_subject.event("acme", EventForm.LOGOUT, logout) is not None
    clock.now += 1
    assert refusal_of(by_subject, EventForm.LOGOUT, logout).reason == "too old"


def test_event_with_a_new_key_gets_503_within_the_cool_down(
    by_subject: Issuers, idp: IssuerDouble, clock: ManualClock
) -> None:
    """Its sender repeats it then. A key that no fetch finds is unknown."""
    assert pushed(by_subject, security_event(idp, sub="ada"))
    header = {"typ": "secevent+jwt", "kid": "unknown"}
    unknown = idp.sign(claims_of(idp, SESSION_REVOKED, sub="ada"), header=header)
    assert refusal_of(by_subject, EventForm.SECURITY_EVENT, unknown).reason == "signature"
    idp.rotate()
    token = security_event(idp, sub="ada")
    for sent in (token, unknown):
        refused = refusal_of(by_subject, EventForm.SECURITY_EVENT, sent)
        assert (refused.code, refused.retry_after) == (Code.TEMPORARILY_UNAVAILABLE, 30)
    clock.now += 30
    assert pushed(by_subject, token).user_id == "ada"


@pytest.mark.sec(72)
def test_event_is_remembered_for_longer_than_it_is_accepted(
    make_issuers: MakeIssuers, idp: IssuerDouble
) -> None:
    """Otherwise a copy would have an effect again, such as on a user who has signed in since."""
    settings, now = idp.settings(events={"audience": AUDIENCE}), int(idp.clock())
    event = pushed(make_issuers(settings), security_event(idp, sub="ada", exp=now + 3600))
    assert event.remembered_until > now + 3600 + settings.clock_leeway
    assert event.issued_by == now + settings.clock_leeway


@pytest.mark.sec(72)
def test_session_is_refused_for_longer_than_its_tokens_are_accepted(
    make_issuers: MakeIssuers, idp: IssuerDouble
) -> None:
    settings = idp.settings(events={"audience": AUDIENCE, "logout": "session"})
    token = logout_token(idp, sub="ada", sid="phone")
    event = make_issuers(settings).event("acme", EventForm.LOGOUT, token)
    assert event is not None
    assert event.session is not None
    last_token_until = idp.clock() + settings.max_lifetime + 2 * settings.clock_leeway
    assert event.session.refused_until > last_token_until


@pytest.mark.sec(72)
def test_session_of_the_same_name_has_another_key_at_each_issuer(idp: IssuerDouble) -> None:
    """With `shared_user_ids` both may have the user too."""
    settings = idp.settings(events={"audience": AUDIENCE, "logout": "session"})
    idp.issuer = "https://other.example"
    other = idp.settings(events={"audience": AUDIENCE, "logout": "session"})
    keys = {session_key(issuer, "ada", {"sid": "phone"}) for issuer in (settings, other)}
    assert len(keys) == 2


@pytest.mark.parametrize(
    ("sid", "shown"),
    [("phone", 'sid "phone"'), (None, "The token has no `sid`: a logout of one session")],
)
def test_explanation_says_whether_a_logout_of_one_session_ends_a_token(
    sid: str | None, shown: str, make_issuers: MakeIssuers, idp: IssuerDouble
) -> None:
    issuers = make_issuers(idp.settings(events={"audience": AUDIENCE, "logout": "session"}))
    found = issuers.explain(idp.token(sid=sid))["session at the provider"]
    assert found.state is State.OK
    assert found.detail.startswith(shown)


@pytest.mark.sec(72)
def test_subject_that_is_no_email_address_is_refused(issuers: Issuers, idp: IssuerDouble) -> None:
    """`sub` is not the claim that is mapped to the user ID: it would be another user."""
    tokens = {
        logout_token(idp, sub="ada@example.com"): EventForm.LOGOUT,
        security_event(idp, sub_id=iss_sub(idp, "ada@example.com")): EventForm.SECURITY_EVENT,
    }
    for token, form in tokens.items():
        refused = refusal_of(issuers, form, token)
        assert (refused.code, refused.reason) == (Code.MALFORMED_REQUEST, "subject")
