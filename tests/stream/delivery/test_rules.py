"""The states of a delivery, as pure functions."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tokensvc.standing.rules import RingVersion
from tokensvc.stream.delivery import rules
from tokensvc.stream.delivery.pace import Pace, back_off, next_pace
from tokensvc.stream.delivery.rules import OPEN_STATES, Delivery, DeliveryState
from tokensvc.stream.keys.rules import StreamKey, StreamKeyRing, keys_to_try
from tokensvc.stream.keys.states import KeyState
from tokensvc.stream.responses import CallStatus, StreamResponse

NOW = 1_800_000_000
RING_VERSION = RingVersion(1, "a")
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
    late_since=NOW - 20,
)


@st.composite
def rows(draw):
    """Rows of open deliveries: a sender leases no others, and a change makes them open."""
    version = draw(st.integers(1, 5))
    return Delivery(
        kind=draw(st.sampled_from(["app", "user", "profile", "hint", "devices"])),
        subject="ada",
        version=version,
        applied_version=draw(st.integers(0, version)),
        state=draw(st.sampled_from(OPEN_STATES)),
        due_at=draw(st.integers(NOW - 100, NOW + 100)),
        lease_until=draw(st.none() | st.integers(NOW - 100, NOW + 100)),
        attempts=draw(st.integers(0, 60)),
        resend_at=draw(st.none() | st.integers(NOW - 100, NOW + 100)),
        absent_since=draw(st.none() | st.integers(NOW - 1000, NOW)),
        last_error=draw(st.none() | st.just("code 4")),
        updated_at=draw(st.integers(NOW - 1000, NOW)),
        late_since=draw(st.none() | st.integers(NOW - 1000, NOW)),
    )


@st.composite
def leases(draw):
    """Rows and what a sender leased of them: often the current version with the current lease."""
    row = draw(rows())
    version = draw(st.just(row.version) | st.integers(1, row.version))
    lease_until = draw(st.integers(NOW - 100, NOW + 100))
    if draw(st.booleans()):
        row = replace(row, lease_until=lease_until)
    return row, replace(row, version=version, lease_until=lease_until)


responses = st.builds(
    StreamResponse, st.sampled_from(CallStatus), st.none() | st.just("no"), st.floats(0, 3600)
)
fractions = st.floats(0, 1)
CALLED = [status for status in CallStatus if status is not CallStatus.NOT_ATTEMPTED]
cut_offs = st.none() | st.integers(NOW - 10**6, NOW + 2)


def apply(row, response, *, leased=ROW, now=float(NOW), random_fraction=0.0, cut_off=NOW - 5):
    return rules.apply_outcome(
        row, leased, response, now=now, random_fraction=random_fraction, cut_off=cut_off
    )


@given(leases(), responses, fractions, cut_offs)
def test_only_a_success_of_the_current_version_is_applied(pair, response, fraction, cut_off):
    """By the holder of the lease, with a state that was read after `resend_at`."""
    row, leased = pair
    after = apply(row, response, leased=leased, random_fraction=fraction, cut_off=cut_off)
    if after.state is DeliveryState.APPLIED:
        assert response.status is CallStatus.DONE
        assert leased.version == row.version == after.applied_version
        assert leased.lease_until == row.lease_until
        is_read_later = leased.lease_until - rules.LEASE_SECONDS >= (row.resend_at or 0)
        assert is_read_later or row.kind in rules.REACH


@given(leases(), responses, fractions, cut_offs)
def test_no_delivery_is_given_up(pair, response, fraction, cut_off):
    """An open delivery is retried within an hour, or after the pause that Stream asks for."""
    row, leased = pair
    after = apply(row, response, leased=leased, random_fraction=fraction, cut_off=cut_off)
    if after.state in OPEN_STATES and after != row and row.version == leased.version:
        assert after.due_at <= max(row.due_at, NOW + 3601 + response.wait)
    if after.state is DeliveryState.OBSOLETE:
        assert response.status is CallStatus.ABSENT or row.kind == "hint"
        assert row.kind in {"user", *rules.REACH}
        assert row.kind != "user" or cut_off is None or cut_off + rules.OBSOLETE_AFTER <= NOW


@given(leases(), fractions, cut_offs)
def test_lost_response_is_remembered(pair, fraction, cut_off):
    """Whatever has changed since then: the state is sent again after a minute."""
    row, leased = pair
    assume(row.kind not in rules.REACH)
    response = StreamResponse(CallStatus.UNKNOWN)
    after = apply(row, response, leased=leased, random_fraction=fraction, cut_off=cut_off)
    assert after.resend_at == NOW + rules.RESEND_SECONDS
    assert after.state is not DeliveryState.APPLIED


@given(leases(), responses, fractions)
def test_only_its_holder_ends_a_lease(pair, response, fraction):
    row, leased = pair
    after = apply(row, response, leased=leased, random_fraction=fraction)
    is_holder = row.lease_until == leased.lease_until
    assert after.lease_until == (None if is_holder else row.lease_until)


@given(rows(), fractions)
def test_released_row_is_unchanged(row, fraction):
    """No attempt is counted, and it is due as before."""
    row = replace(row, lease_until=ROW.lease_until)
    after = apply(row, StreamResponse(CallStatus.NOT_ATTEMPTED), leased=row)
    assert after == replace(row, lease_until=None)


@given(rows(), responses, fractions)
def test_row_that_changed_during_the_call_stays_due(row, response, fraction):
    row = replace(row, state=DeliveryState.PENDING, lease_until=ROW.lease_until, version=4)
    after = apply(row, response, random_fraction=fraction)
    assert (after.state, after.due_at, after.version) == (row.state, row.due_at, 4)


@given(rows(), st.sampled_from([CallStatus.DONE, CallStatus.UNKNOWN]), fractions)
def test_call_after_the_lease_changes_the_row(row, status, fraction):
    """What another sender is sending is no longer current, so that it is sent again."""
    row = replace(row, lease_until=NOW + 50)
    after = apply(row, StreamResponse(status), random_fraction=fraction)
    if row.kind in rules.REACH:  # a repetition would remove devices that were registered since
        assert after == row
        return
    assert after.version == row.version + 1
    assert (after.state, after.due_at) == (DeliveryState.PENDING, NOW)
    assert after.lease_until == row.lease_until


@pytest.mark.parametrize("status", sorted(set(CallStatus) - {CallStatus.DONE, CallStatus.UNKNOWN}))
def test_call_without_effect_after_the_lease_changes_nothing(status):
    row = replace(ROW, lease_until=NOW + 50)
    assert apply(row, StreamResponse(status, "no")) == row


@pytest.mark.parametrize(
    ("status", "attempts", "state", "wait"),
    [
        (CallStatus.UNKNOWN, 0, "pending", 0),
        (CallStatus.UNKNOWN, 1, "pending", 1),
        (CallStatus.UNKNOWN, 8, "pending", 60),
        (CallStatus.UNKNOWN, 9, "failed", 60),
        (CallStatus.NOT_DELIVERED, 0, "pending", 1),
        (CallStatus.NOT_DELIVERED, 3, "pending", 8),
        (CallStatus.NOT_DELIVERED, 9, "failed", 60),
        (CallStatus.KEY_REFUSED, 0, "failed", 1),
        (CallStatus.KEY_REFUSED, 30, "failed", 60),
        (CallStatus.REFUSED, 0, "failed", 1),
        (CallStatus.REFUSED, 11, "failed", 2048),
        (CallStatus.REFUSED, 30, "failed", 3600),
    ],
)
def test_failed_call_is_retried(status, attempts, state, wait):
    """Sooner if another attempt can help, less often if it hardly can."""
    after = apply(replace(ROW, attempts=attempts), StreamResponse(status, "why"))
    assert (after.state, after.due_at - NOW) == (state, wait)
    assert (after.attempts, after.last_error) == (attempts + 1, "why")


def test_delivery_is_not_obsolete_while_a_lost_call_may_take_effect():
    row = replace(ROW, resend_at=NOW + 30)
    after = apply(row, StreamResponse(CallStatus.ABSENT), cut_off=None)
    assert after.state is DeliveryState.ABSENT


@pytest.mark.parametrize("kind", ["app", "profile"])
def test_absent_app_or_profile_is_failed(kind):
    row = replace(ROW, kind=kind)
    assert apply(row, StreamResponse(CallStatus.ABSENT)).state is DeliveryState.FAILED


@given(rows(), st.floats(NOW, NOW + 100))
def test_expired_lease_is_a_lost_call(row, now):
    lease = rules.lease(row, now)
    assert lease.lease_until == int(now) + rules.LEASE_SECONDS
    if row.lease_until is None:
        assert lease.resend_at == row.resend_at
    else:
        assert lease.resend_at >= now + rules.RESEND_SECONDS


@given(st.integers(0, 10**6), fractions, st.floats(1, 3600))
def test_waits_double_up_to_their_limit(failures, fraction, longest):
    """None at first; chance removes up to a half."""
    wait = back_off(failures, fraction, longest)
    assert 0 <= wait <= longest
    assert back_off(failures + 1, fraction, longest) >= wait
    if failures:
        assert wait >= min(longest, 1) / 2


@given(st.sampled_from(CALLED), st.floats(0, 3600), st.integers(0, 50), fractions)
def test_pace_slows_down_until_stream_responds(status, wait, failures, fraction):
    """The pause that Stream asks for always applies."""
    pace = next_pace(Pace(failures, 0.0), StreamResponse(status, None, wait), 1000.0, fraction)
    assert pace.not_before >= 1000.0 + wait
    if status in {CallStatus.DONE, CallStatus.REFUSED, CallStatus.ABSENT}:
        assert pace == Pace(0, 1000.0 + wait)
    else:
        assert pace.failures == failures + 1


def test_active_key_is_tried_first():
    secret = b"x" * 32
    keys = [
        StreamKey("a", secret, KeyState.STANDBY),
        StreamKey("b", secret, KeyState.ACTIVE),
        StreamKey("c", secret, KeyState.RETIRING),
    ]
    tried = [key.api_key for key in keys_to_try(StreamKeyRing(RING_VERSION, keys))]
    assert tried == ["b", "a", "c"]
