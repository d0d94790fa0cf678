"""Events of an issuer whose users are known by their e-mail address."""

import pytest

from testing.doubles.events import AUDIENCE, iss_sub, logout_token, security_event
from testing.doubles.issuer import IssuerDouble
from tests.issuers.conftest import MakeIssuers
from tokensvc.core.errors import Code, Refusal
from tokensvc.core.findings import State
from tokensvc.issuers.events import EventForm
from tokensvc.issuers.service import Issuers


@pytest.fixture
def issuers(make_issuers: MakeIssuers, idp: IssuerDouble) -> Issuers:
    events = {"audience": AUDIENCE}
    return make_issuers(
        idp.settings(user_id_claim="email", user_id_mapping="escape", events=events)
    )


def test_user_is_named_by_email(issuers: Issuers, idp: IssuerDouble) -> None:
    subject = {"format": "email", "email": "ada@example.com"}
    token = security_event(idp, sub_id=subject)
    event = issuers.event("acme", EventForm.SECURITY_EVENT, token)
    assert event is not None
    assert event.user_id == "ada@example_2ecom"


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
        with pytest.raises(Refusal) as caught:
            issuers.event("acme", form, token)
        assert (caught.value.code, caught.value.reason) == (Code.MALFORMED_REQUEST, "subject")
