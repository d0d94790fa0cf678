"""What happens to a delivery, as pure functions."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokensvc.delivery import rules
from tokensvc.delivery.outcome import Outcome, Result, outcome_of
from tokensvc.delivery.rules import Delivery, DeliveryState, Pace, Sent
from tokensvc.keys.rules import KeyState, StreamKey, StreamKeyRing
from tokensvc.stream.responses import CallStatus, StreamResponse

NOW = 1_800_000_000
ROW = Delivery(
    kind="user",
    subject="ada",
    version=3,
    applied_version=2,
    state=DeliveryState.PENDING,
    due_at=NOW,
    lease_until=NOW + 20,
    attempts=0,
    resend_at=None,
    absent_since=None,
    last_error=None,
    updated_at=NOW - 10,
)
SENT = Sent(version=3, lease_until=NOW + 20, at=NOW - 10)

rows = st.builds(
    Delivery,
    kind=st.sampled_from(["app", "user", "profile"]),
    subject=st.just("ada"),
    version=st.integers(1, 5),
    applied_version=st.integers(0, 5),
    state=st.sampled_from(DeliveryState),
    due_at=st.integers(NOW - 100, NOW + 100),
    lease_until=st.none() | st.integers(NOW - 100, NOW + 100),
    attempts=st.integers(0, 60),
    resend_at=st.none() | st.integers(NOW - 100, NOW + 100),
    absent_since=st.none() | st.integers(NOW - 1000, NOW),
    last_error=st.none() | st.just("code 4"),
    updated_at=st.integers(NOW - 1000, NOW),
)
sents = st.builds(
    Sent,
    version=st.integers(1, 5),
    lease_until=st.integers(NOW - 100, NOW + 100),
    at=st.floats(NOW - 100, NOW),
)
outcomes = st.builds(
    Outcome,
    st.sampled_from(Result),
    st.none() | st.just("no"),
    st.floats(0, 3600),
)
chances = st.floats(0, 1)
CALLED = [result for result in Result if result is not Result.NOT_ATTEMPTED]
cut_offs = st.none() | st.integers(NOW - 10**6, NOW + 2)


def settle(row, outcome, *, sent=SENT, now=float(NOW), random_fraction=0.0, cut_off=NOW - 5):
    return rules.apply_outcome(
        row, sent, outcome, now=now, random_fraction=random_fraction, cut_off=cut_off
    )


@given(rows, sents, outcomes, chances, cut_offs)
def test_applied_is_said_of_the_current_version_alone(row, sent, outcome, random_fraction, cut_off):
    """Only a success of the version that is current, by who holds the lease, after `resend_at`."""
    after = settle(row, outcome, sent=sent, random_fraction=random_fraction, cut_off=cut_off)
    if after.state is DeliveryState.APPLIED and row.state is not DeliveryState.APPLIED:
        assert outcome.result is Result.DONE
        assert sent.version == row.version == after.applied_version
        assert sent.lease_until == row.lease_until
        assert row.resend_at is None or sent.at >= row.resend_at


@given(rows, sents, outcomes, chances, cut_offs)
def test_nothing_is_given_up(row, sent, outcome, random_fraction, cut_off):
    """Whatever is open after a call is tried again within an hour and what Stream asks for."""
    after = settle(row, outcome, sent=sent, random_fraction=random_fraction, cut_off=cut_off)
    is_open = after.state in {DeliveryState.PENDING, DeliveryState.FAILED, DeliveryState.ABSENT}
    if is_open and after != row and row.version == sent.version:
        assert after.due_at <= NOW + 3601 + outcome.wait
    if after.state is DeliveryState.OBSOLETE and row.state is not DeliveryState.OBSOLETE:
        assert outcome.result is Result.ABSENT
        assert row.kind == "user"
        assert cut_off is None or cut_off + rules.OBSOLETE_AFTER <= NOW


@given(rows, sents, outcomes, chances, cut_offs)
def test_a_lost_answer_is_remembered(row, sent, outcome, random_fraction, cut_off):
    """Whoever holds the row, and whatever was changed meanwhile: it goes again after a minute."""
    after = settle(row, outcome, sent=sent, random_fraction=random_fraction, cut_off=cut_off)
    if outcome.result is Result.UNKNOWN:
        assert after.resend_at == NOW + rules.RESEND_SECONDS
        assert after.state is not DeliveryState.APPLIED or row.version != sent.version


@given(rows, sents, outcomes, chances)
def test_a_lease_ends_with_the_call(row, sent, outcome, random_fraction):
    """Its holder lets go of it, and nobody else does."""
    after = settle(row, outcome, sent=sent, random_fraction=random_fraction)
    held = row.lease_until == sent.lease_until
    assert after.lease_until == (None if held else row.lease_until)


@given(rows, chances)
def test_what_was_not_tried_is_as_it_was(row, random_fraction):
    """Its holder lets go of it: no attempt counts, and it is due as before."""
    row = replace(row, lease_until=SENT.lease_until)
    assert settle(row, Outcome(Result.NOT_ATTEMPTED), random_fraction=random_fraction) == replace(
        row, lease_until=None
    )


@given(rows, outcomes, chances)
def test_a_change_during_the_call_stays_due(row, outcome, random_fraction):
    """What came of an older version says nothing of the current one."""
    row = replace(row, state=DeliveryState.PENDING, lease_until=SENT.lease_until, version=4)
    after = settle(row, outcome, random_fraction=random_fraction)
    assert (after.state, after.due_at, after.version) == (row.state, row.due_at, 4)


@given(rows, st.sampled_from([Result.DONE, Result.UNKNOWN]), chances)
def test_a_call_after_the_lease_makes_the_row_differ(row, result, random_fraction):
    """What somebody else was sending is no longer current, so that it is sent once more."""
    row = replace(row, lease_until=NOW + 50)
    after = settle(row, Outcome(result), random_fraction=random_fraction)
    assert after.version == row.version + 1
    assert (after.state, after.due_at) == (DeliveryState.PENDING, NOW)
    assert after.lease_until == row.lease_until


@pytest.mark.parametrize("result", sorted(set(Result) - {Result.DONE, Result.UNKNOWN}))
def test_a_call_after_the_lease_that_changed_nothing_is_nothing(result):
    """Neither version nor time nor error of another sender's row is touched."""
    row = replace(ROW, lease_until=NOW + 50)
    assert settle(row, Outcome(result, "no")) == row


@pytest.mark.parametrize(
    ("result", "attempts", "state", "wait"),
    [
        (Result.UNKNOWN, 0, "pending", 0),
        (Result.UNKNOWN, 1, "pending", 1),
        (Result.UNKNOWN, 8, "pending", 60),
        (Result.UNKNOWN, 9, "failed", 60),
        (Result.NOT_DELIVERED, 0, "pending", 1),
        (Result.NOT_DELIVERED, 3, "pending", 8),
        (Result.NOT_DELIVERED, 9, "failed", 60),
        (Result.KEY_REFUSED, 0, "failed", 1),
        (Result.KEY_REFUSED, 30, "failed", 60),
        (Result.REFUSED, 0, "failed", 1),
        (Result.REFUSED, 11, "failed", 2048),
        (Result.REFUSED, 30, "failed", 3600),
    ],
)
def test_failures_are_tried_again(result, attempts, state, wait):
    """Sooner where another attempt can help, more rarely where it hardly can."""
    after = settle(replace(ROW, attempts=attempts), Outcome(result, "why"))
    assert (after.state, after.due_at - NOW) == (state, wait)
    assert (after.attempts, after.last_error) == (attempts + 1, "why")


@pytest.mark.parametrize(
    ("since", "cut_off", "state", "wait"),
    [
        (None, NOW, "absent", 10),
        (NOW - 599, NOW - 599, "absent", 10),
        (NOW - 600, NOW - 600, "absent", 60),
        (NOW - 600, NOW - rules.OBSOLETE_AFTER + 1, "absent", 60),
        (NOW - 600, NOW - rules.OBSOLETE_AFTER, "moot", None),
        (None, None, "moot", None),
    ],
)
def test_missing_users_are_waited_for(since, cut_off, state, wait):
    """Every 10 s for ten minutes, then every minute, until no old token is left."""
    row = replace(ROW, absent_since=since)
    after = settle(row, Outcome(Result.ABSENT), cut_off=cut_off)
    assert after.state == state
    if wait is not None:
        assert after.due_at - NOW == wait
        assert after.absent_since == (since or NOW)


def test_a_missing_user_is_not_moot_while_a_call_may_land():
    """A lost call may yet set a cut-off that is not wanted any more."""
    row = replace(ROW, resend_at=NOW + 30)
    assert settle(row, Outcome(Result.ABSENT), cut_off=None).state is DeliveryState.ABSENT


@pytest.mark.parametrize("kind", ["app", "profile"])
def test_only_users_can_be_missing(kind):
    """Whatever Stream does not find of others is a refusal."""
    row = replace(ROW, kind=kind)
    assert settle(row, Outcome(Result.ABSENT)).state is DeliveryState.FAILED


def test_a_success_before_the_resend_is_not_the_last():
    """It is pending until the time at which nothing older can land."""
    row = replace(ROW, resend_at=NOW + 30, attempts=2, last_error="cut")
    after = settle(row, Outcome(Result.DONE))
    assert (after.state, after.due_at, after.resend_at) == ("pending", NOW + 30, NOW + 30)
    assert (after.attempts, after.last_error) == (0, None)
    last = settle(row, Outcome(Result.DONE), sent=replace(SENT, at=NOW + 30.0), now=NOW + 31.0)
    assert (last.state, last.resend_at) == ("applied", None)


@given(rows, st.floats(NOW, NOW + 100))
def test_a_lease_that_ran_out_was_a_lost_call(row, now):
    """Its row is sent at once and once more; a new lease ends later than the old one."""
    lease = rules.lease(row, now)
    assert lease.lease_until == int(now) + rules.LEASE_SECONDS
    if row.lease_until is None:
        assert lease.resend_at == row.resend_at
    else:
        assert lease.resend_at >= now + rules.RESEND_SECONDS


@given(st.integers(0, 10**6), chances, st.floats(1, 3600))
def test_waits_grow_to_their_bound(failures, random_fraction, longest):
    """None at first, then twice as long each time; chance takes up to a half."""
    wait = rules.back_off(failures, random_fraction, longest)
    assert 0 <= wait <= longest
    assert rules.back_off(failures + 1, random_fraction, longest) >= wait
    if failures:
        assert wait >= min(longest, 1) / 2


@given(st.sampled_from(CALLED), st.floats(0, 3600), st.integers(0, 50), chances)
def test_a_process_slows_down_while_stream_does_not_answer(result, wait, failures, random_fraction):
    """A verdict of any kind ends that; what Stream asks for holds in any case."""
    pace = rules.next_pace(
        Pace(failures, 0.0), Outcome(result, None, wait), 1000.0, random_fraction
    )
    assert pace.not_before >= 1000.0 + wait
    if result in {Result.DONE, Result.REFUSED, Result.ABSENT}:
        assert pace == Pace(0, 1000.0 + wait)
    else:
        assert pace.failures == failures + 1


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (StreamResponse(CallStatus.DONE, status=200), Result.DONE),
        (StreamResponse(CallStatus.NOT_SENT), Result.NOT_DELIVERED),
        (StreamResponse(CallStatus.UNKNOWN, status=500, code=-1), Result.UNKNOWN),
        (StreamResponse(CallStatus.REFUSED, status=401, code=43), Result.KEY_REFUSED),
        (StreamResponse(CallStatus.REFUSED, status=401, code=40), Result.KEY_REFUSED),
        (StreamResponse(CallStatus.REFUSED, status=403, code=99), Result.KEY_REFUSED),
        (StreamResponse(CallStatus.REFUSED, status=400, code=2), Result.KEY_REFUSED),
        (StreamResponse(CallStatus.REFUSED, status=403, code=17), Result.REFUSED),
        (StreamResponse(CallStatus.REFUSED, status=429, code=9), Result.NOT_DELIVERED),
        (StreamResponse(CallStatus.REFUSED, status=404, code=16), Result.ABSENT),
        (StreamResponse(CallStatus.REFUSED, status=400, code=4), Result.REFUSED),
        (StreamResponse(CallStatus.REFUSED, status=413, code=22), Result.REFUSED),
    ],
)
def test_answers_are_read(answer, result):
    """By Stream's status and code."""
    assert outcome_of(replace(answer, wait=3.0)) == Outcome(result, None, 3.0)


def test_the_active_key_is_tried_first():
    """Then the others, as none of them is retired."""
    secret = b"x" * 32
    keys = [
        StreamKey("a", secret, KeyState.STANDBY),
        StreamKey("b", secret, KeyState.ACTIVE),
        StreamKey("c", secret, KeyState.RETIRING),
    ]
    tried = [key.api_key for key in rules.keys_to_try(StreamKeyRing(1, keys))]
    assert tried == ["b", "a", "c"]
