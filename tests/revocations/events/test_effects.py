"""What each event of an identity provider does, through a running service."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from testing.doubles.events import (
    CAEP,
    RISC,
    SESSION_REVOKED,
    iss_sub,
    logout_token,
    push,
    security_event,
    send_logout,
)
from testing.world import minted

DISABLED, ENABLED = f"{RISC}account-disabled", f"{RISC}account-enabled"


def signed_in(world, user_id):
    """Return a user who has signed in and can mint."""
    user = world.signed_in(user_id)
    assert minted(user).status == 200
    return user


def code_of(user):
    response = minted(user)
    return response.json["code"] if response.status != 200 else "minted"


def signed_in_again(world, user_id):
    """Return a user who has signed in after a cut-off."""
    return world.signed_in(user_id, world.state(user_id)["tokens_valid_after"] + 2)


def actions_of(world, user_id):
    """Return actor, action and reason of the audited actions on a user, oldest first."""
    items = world.operator.get("/v1/audit", query={"subject": user_id}).json["items"]
    return [(item["actor"], item["action"], item["reason"]) for item in reversed(items)]


def test_logout_at_the_provider_signs_the_user_out_everywhere(world):
    user = signed_in(world, "logged-out")
    response = send_logout(world.anonymous, logout_token(world.issuer, sub="logged-out", sid="s"))
    assert (response.status, response.body) == (200, b"")
    assert response.headers["Cache-Control"] == "no-store"
    assert code_of(user) == "sign_in_required"
    assert code_of(signed_in_again(world, "logged-out")) == "minted"
    expected = ("issuer:acme", "user:revoked", "backchannel-logout")
    assert actions_of(world, "logged-out") == [expected]


@pytest.mark.parametrize("typ", ["JWT", "application/logout+jwt", None])
def test_logout_token_of_a_provider_that_writes_another_type_signs_the_user_out(world, typ):
    """Earlier releases of Keycloak and authentik write `JWT`."""
    name = (typ or "untyped").lower().translate(str.maketrans("/+", "--"))
    user = signed_in(world, name)
    token = logout_token(world.issuer, typ=typ, sub=name)
    assert send_logout(world.anonymous, token).status == 200
    assert code_of(user) == "sign_in_required"


@pytest.mark.parametrize(
    ("event", "code"),
    [
        (f"{CAEP}session-revoked", "sign_in_required"),
        (f"{CAEP}credential-change", "sign_in_required"),
        (f"{RISC}credential-compromise", "sign_in_required"),
        (f"{RISC}account-disabled", "user_suspended"),
        (f"{RISC}account-purged", "user_suspended"),
    ],
)
def test_security_event_refuses_its_user(world, event, code):
    name = event.rpartition("/")[2]
    user = signed_in(world, f"user-of-{name}")
    subject = iss_sub(world.issuer, f"user-of-{name}")
    response = push(world.anonymous, security_event(world.issuer, event, sub_id=subject))
    assert (response.status, response.body) == (202, b"")
    assert code_of(user) == code
    (action,) = actions_of(world, f"user-of-{name}")
    assert (action[0], action[2]) == ("issuer:acme", name)


@pytest.mark.parametrize(
    "place",
    ["sub", "sub_id", "subject", "complex", "user_without_format", "three_places"],
)
def test_user_is_found_wherever_a_specification_has_the_subject(world, place):
    user_id = f"subject-{place.replace('_', '-')}"
    user, subject = signed_in(world, user_id), iss_sub(world.issuer, user_id)
    complex_subject = {
        "format": "complex",
        "user": subject,
        "session": {"format": "opaque", "id": "s1"},
    }
    claims = {
        "sub": {"sub": user_id},
        "sub_id": {"sub_id": subject},
        "subject": {"events": {SESSION_REVOKED: {"subject": subject}}},
        "complex": {"sub_id": complex_subject},
        "user_without_format": {"events": {SESSION_REVOKED: {"subject": {"user": subject}}}},
        "three_places": {
            "sub": user_id,
            "sub_id": complex_subject,
            "events": {SESSION_REVOKED: {"subject": subject}},
        },
    }[place]
    assert push(world.anonymous, security_event(world.issuer, **claims)).status == 202
    assert code_of(user) == "sign_in_required"


def test_account_that_the_provider_has_deleted_is_erased_if_the_settings_say_so(world):
    """Also the provider that enables the account again does not bring the user back."""
    user = world.signed_in_silently("silent-gone", int(time.time()))
    assert minted(user).status == 200
    purged = f"{RISC}account-purged"
    for event in (DISABLED, purged, purged, DISABLED, ENABLED):
        token = security_event(world.silent, event, sub="gone")
        assert push(world.anonymous, token, "silent").status == 202
    assert code_of(user) == "user_erased"
    assert world.state("silent-gone")["erasure"] is not None
    assert actions_of(world, "silent-gone") == [
        ("issuer:silent", "user:suspended", "account-disabled"),
        ("issuer:silent", "user:erased", "account-purged"),
    ]


def test_event_about_a_user_who_never_came_is_in_effect_when_they_come(world):
    assert push(world.anonymous, security_event(world.issuer, DISABLED, sub="new")).status == 202
    assert code_of(world.signed_in("new")) == "user_suspended"


def test_provider_reinstates_whom_it_has_disabled(world):
    for event in (DISABLED, ENABLED):
        assert push(world.anonymous, security_event(world.issuer, event, sub="ill")).status == 202
    assert code_of(signed_in_again(world, "ill")) == "minted"
    assert [action for _, action, _ in actions_of(world, "ill")] == [
        "user:suspended",
        "user:reinstated",
    ]


def test_second_event_that_disables_a_user_begins_the_suspension_again(world):
    """The provider has enabled the user in between, and that event is lost, or comes late."""
    first = int(time.time()) - 100
    push(world.anonymous, security_event(world.issuer, DISABLED, sub="twice"))
    world.set_standing("twice", suspended_at=first, tokens_valid_after=first, floor=first)
    user = world.signed_in("twice", first + 60)
    push(world.anonymous, security_event(world.issuer, DISABLED, sub="twice"))
    push(world.anonymous, security_event(world.issuer, ENABLED, sub="twice", iat=first + 50))
    assert code_of(user) == "user_suspended"
    push(world.anonymous, security_event(world.issuer, ENABLED, sub="twice"))
    assert code_of(user) == "sign_in_required"
    assert code_of(signed_in_again(world, "twice")) == "minted"


def test_provider_does_not_reinstate_whom_an_operator_has_suspended(world):
    """Also if the provider had disabled and enabled the user before."""
    for event in (DISABLED, ENABLED):
        push(world.anonymous, security_event(world.issuer, event, sub="banned"))
    world.suspend("banned", json={"reason": "spam"})
    assert push(world.anonymous, security_event(world.issuer, ENABLED, sub="banned")).status == 202
    assert code_of(world.signed_in("banned")) == "user_suspended"


def test_provider_does_not_reinstate_whom_an_operator_has_suspended_after_it(world):
    """The operator's suspension replaces the provider's; a second one of either suspends nobody."""
    push(world.anonymous, security_event(world.issuer, DISABLED, sub="both"))
    for _ in range(2):
        world.suspend("both", json={"reason": "spam"})
    for event in (DISABLED, ENABLED):
        push(world.anonymous, security_event(world.issuer, event, sub="both"))
    assert code_of(world.signed_in("both")) == "user_suspended"
    assert world.state("both")["reason"] == "spam"
    actions = [action for _, action, _ in actions_of(world, "both")]
    assert actions == ["user:suspended", "user:suspended", "user:revoked"]


def test_provider_does_not_reinstate_whom_another_provider_has_disabled(world):
    push(world.anonymous, security_event(world.silent, DISABLED, sub="two"), "silent")
    push(world.anonymous, security_event(world.issuer, ENABLED, sub="silent-two"))
    assert world.state("silent-two")["suspended"]


def test_event_that_was_issued_before_a_suspension_does_not_end_it(world):
    """A sender may repeat an event that was not received after a later one."""
    push(world.anonymous, security_event(world.issuer, DISABLED, sub="late"))
    issued = world.state("late")["suspended_at"] - 60
    stale = security_event(world.issuer, ENABLED, sub="late", iat=issued)
    assert push(world.anonymous, stale).status == 202
    assert world.state("late")["suspended"]
    push(world.anonymous, security_event(world.issuer, ENABLED, sub="late"))
    assert not world.state("late")["suspended"]


def test_provider_that_disables_a_suspended_user_refuses_the_sign_ins_so_far(world):
    """Otherwise the operator who ends the suspension would admit a sign-in from before."""
    world.suspend("again")
    user = signed_in_again(world, "again")
    for _ in range(2):
        token = security_event(world.issuer, DISABLED, sub="again")
        assert push(world.anonymous, token).status == 202
    assert code_of(user) == "user_suspended"
    world.reinstate("again")
    assert code_of(user) == "sign_in_required"
    assert ("issuer:acme", "user:revoked", "account-disabled") in actions_of(world, "again")


@pytest.mark.parametrize(
    "events",
    [
        {"https://schemas.openid.net/secevent/ssf/event-type/verification": {"state": "x"}},
        {f"{CAEP}device-compliance-change": {"current_status": "not-compliant"}},
        {},
    ],
)
def test_event_without_an_effect_is_accepted(world, events):
    """A transmitter verifies its stream, and sends events that this service does not use."""
    user = signed_in(world, "unaffected")
    stream = {"format": "opaque", "id": "stream-1"}
    token = security_event(world.issuer, events=events, sub_id=stream, sub="unaffected")
    assert push(world.anonymous, token).status == 202
    assert code_of(user) == "minted"


def test_repeated_security_event_is_accepted_without_an_effect(world):
    """The sender repeats it if it has missed the response (RFC 8935)."""
    token = security_event(world.issuer, sub="repeated")
    assert push(world.anonymous, token).status == 202
    user = signed_in_again(world, "repeated")
    assert push(world.anonymous, token).status == 202
    assert code_of(user) == "minted"


def test_one_of_several_simultaneous_copies_has_an_effect(world):
    token = logout_token(world.issuer, sub="copied")
    with ThreadPoolExecutor(8) as pool:
        sent = pool.map(lambda _: send_logout(world.anonymous, token).status, range(8))
    assert sorted(sent) == [200, *[400] * 7]
    assert len(actions_of(world, "copied")) == 1


class TestLogoutOfOneSession:
    """With `events.logout = "session"`, which the settings of the second provider have."""

    def test_ended_session_gets_no_token_and_the_other_does(self, world):
        now = int(time.time())
        phone, laptop = (
            world.signed_in_silently("silent-ada", now, sid=sid) for sid in ("phone", "laptop")
        )
        assert (code_of(phone), code_of(laptop)) == ("minted", "minted")
        token = logout_token(world.silent, sub="ada", sid="phone")
        assert send_logout(world.anonymous, token, "silent").status == 200
        refused = minted(phone)
        assert (refused.status, refused.json["code"]) == (401, "sign_in_required")
        assert refused.json["sign_in_after"] is None
        assert phone.get("/v1/me").status == 401
        assert code_of(laptop) == "minted"
        renewed = world.signed_in_silently("silent-ada", int(time.time()) + 1, sid="phone")
        assert code_of(renewed) == "sign_in_required"

    def test_session_of_the_same_name_at_another_provider_lives(self, world):
        user = world.issuer.token(sub="same-name", sid="phone-2")
        token = logout_token(world.silent, sub="same-name", sid="phone-2")
        assert send_logout(world.anonymous, token, "silent").status == 200
        headers = {"Authorization": f"Bearer {user}"}
        assert world.anonymous.post("/v1/token", headers=headers).status == 200

    def test_session_of_the_same_name_of_another_user_lives(self, world):
        user = world.signed_in_silently("silent-bea", int(time.time()), sid="shared")
        token = logout_token(world.silent, sub="not-bea", sid="shared")
        assert send_logout(world.anonymous, token, "silent").status == 200
        assert code_of(user) == "minted"

    def test_end_is_audited(self, world):
        token = logout_token(world.silent, sub="audited", sid="phone-3")
        send_logout(world.anonymous, token, "silent")
        expected = ("issuer:silent", "provider_session:ended", "backchannel-logout")
        assert expected in actions_of(world, "silent-audited")

    def test_logout_that_names_no_session_signs_the_user_out_everywhere(self, world):
        user = world.signed_in_silently("silent-eve", int(time.time()), sid="phone-4")
        assert code_of(user) == "minted"
        token = logout_token(world.silent, sub="eve")
        assert send_logout(world.anonymous, token, "silent").status == 200
        assert code_of(user) == "sign_in_required"
