"""The order of refusals, and the times and the key of a permit."""

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokensvc.core.callers import Caller, ServiceCaller, UserCaller
from tokensvc.core.errors import Code, Refusal
from tokensvc.standing.rules import RingVersion, Standing
from tokensvc.stream.keys.rules import StreamKey, StreamKeyRing
from tokensvc.stream.keys.states import KeyState
from tokensvc.tokens.rules import Permit, TokenRequest, authorize
from tokensvc.tokens.settings import TokenSettings

NOW = 1_800_000_000
RING_VERSION = RingVersion(1, "a")
JOHN = UserCaller(user_id="john", issuer="acme", signed_in_at=NOW - 60, clock_ahead=2)
BACKEND = ServiceCaller("svc.shop", frozenset({"tokens:mint"}), vouches=False)
CLEAN = Standing(
    now=NOW, suspended=False, tokens_valid_after=None, floor=0, ring_version=RING_VERSION
)
ACTIVE = StreamKey("active-key", b"a" * 32, KeyState.ACTIVE)
STANDBY = StreamKey("standby-key", b"s" * 32, KeyState.STANDBY)
RETIRING = StreamKey("retiring-key", b"r" * 32, KeyState.RETIRING)
RING = StreamKeyRing(RING_VERSION, [STANDBY, ACTIVE, RETIRING])


def decide(
    request: TokenRequest = TokenRequest(),  # noqa: B008 - frozen
    caller: Caller = JOHN,
    standing: Standing = CLEAN,
    ring: StreamKeyRing = RING,
    random: float = 0.0,
    **settings: Any,
) -> Permit:
    return authorize(
        request=request,
        caller=caller,
        user_id="john",
        standing=standing,
        ring=ring,
        settings=TokenSettings(**settings),
        jitter=random,
    )


def refusal_of(*args: Any, **kwargs: Any) -> Refusal:
    with pytest.raises(Refusal) as refused:
        decide(*args, **kwargs)
    return refused.value


IN_ORDER = (
    Code.USER_SUSPENDED,
    Code.SIGN_IN_REQUIRED,
    Code.USER_ID_MISMATCH,
    Code.USER_INVALID,
    Code.API_KEY_UNKNOWN,
    Code.TEMPORARILY_UNAVAILABLE,
)
COMBINATIONS = [
    faults
    for count in range(1, len(IN_ORDER) + 1)
    for faults in itertools.combinations(IN_ORDER, count)
]


@pytest.mark.parametrize("caller", [JOHN, BACKEND], ids=["user", "service"])
@pytest.mark.parametrize("faults", COMBINATIONS, ids=" ".join)
def test_first_fault_in_the_contracts_order_is_reported(
    caller: Caller, faults: tuple[Code, ...]
) -> None:
    standing = Standing(
        now=NOW,
        suspended=Code.USER_SUSPENDED in faults,
        tokens_valid_after=NOW - 10 if Code.SIGN_IN_REQUIRED in faults else None,
        floor=NOW + 1 if Code.TEMPORARILY_UNAVAILABLE in faults else 0,
        ring_version=RING_VERSION,
    )
    request = TokenRequest(
        user_id="jane" if Code.USER_ID_MISMATCH in faults else None,
        auth_time=NOW - 60 if caller is BACKEND else None,
        api_key="unknown-key" if Code.API_KEY_UNKNOWN in faults else None,
        user={"id": "john", "role": "admin"} if Code.USER_INVALID in faults else None,
    )
    assert refusal_of(request, caller, standing).code is faults[0]


def test_missing_required_key_is_reported_before_a_future_cut_off() -> None:
    """`api_key_required` has the place of `api_key_unknown` in the order."""
    ahead = replace(CLEAN, floor=NOW + 1)
    assert refusal_of(standing=ahead, api_key="required").code is Code.API_KEY_REQUIRED
    suspended = replace(CLEAN, suspended=True)
    assert refusal_of(standing=suspended, api_key="required").code is Code.USER_SUSPENDED


@pytest.mark.sec(22)
@given(
    now=st.integers(NOW, 2**40),
    skew=st.integers(0, 60),
    behind=st.integers(-100, 200) | st.just(None),
)
def test_iat_is_between_the_floor_and_now(now: int, skew: int, behind: int | None) -> None:
    """Backdated by the skew, but not below the floor; 503 while the floor is in the future."""
    floor = 0 if behind is None else now - behind
    standing = replace(CLEAN, now=now, floor=floor)
    if floor > now:
        refusal = refusal_of(standing=standing, skew=skew)
        assert (refusal.code, refusal.retry_after) == (Code.TEMPORARILY_UNAVAILABLE, 1)
        return
    permit = decide(standing=standing, skew=skew)
    assert floor <= permit.issued_at <= now
    assert permit.issued_at == max(now - skew, floor)
    assert (permit.now, type(permit.issued_at)) == (now, int)


@pytest.mark.parametrize(
    ("ttl", "share", "random", "lifetime"),
    [
        (3600, 0.05, 0.0, 3600),
        (3600, 0.05, 0.5, 3510),
        (3600, 0.05, 1.0, 3420),
        (3600, 0.0, 1.0, 3600),
        (62, 0.05, 1.0, 60),
        (60, 0.05, 1.0, 60),
    ],
)
def test_default_lifetime_is_shortened_at_random(
    ttl: int, share: float, random: float, lifetime: int
) -> None:
    """By up to the configured share, never below a minute, so that a fleet renews gradually."""
    assert decide(ttl=ttl, jitter=share, random=random).expires_at == NOW + lifetime


@pytest.mark.parametrize(
    ("named", "key"),
    [
        (None, ACTIVE),
        ("active-key", ACTIVE),
        ("standby-key", STANDBY),
        ("retiring-key", RETIRING),
    ],
)
def test_named_key_signs_else_the_active_one(named: str | None, key: StreamKey) -> None:
    assert decide(TokenRequest(api_key=named)).key is key


def test_without_an_active_key_only_named_keys_sign() -> None:
    """A request that names no key gets 503, and never the signature of another key."""
    ring = StreamKeyRing(RING_VERSION, [STANDBY])
    assert refusal_of(ring=ring).code is Code.TEMPORARILY_UNAVAILABLE
    assert decide(TokenRequest(api_key="standby-key"), ring=ring).key is STANDBY
    assert decide(TokenRequest(api_key="active-key"), api_key="required").key is ACTIVE


@pytest.mark.sec(12, 32)
@pytest.mark.parametrize("vouches", [False, True])
def test_auth_time_over_two_seconds_after_the_standing_is_refused(vouches: bool) -> None:
    """A later revocation would not cover such a sign-in; this is said before the suspension."""
    backend = replace(BACKEND, vouches=vouches)
    suspended = replace(CLEAN, suspended=True)
    for auth_time in (NOW + 3, 10**400):
        ahead = TokenRequest(user_id="john", auth_time=auth_time)
        assert refusal_of(ahead, backend, suspended).code is Code.MALFORMED_REQUEST
    for auth_time in (NOW + 2, NOW - 10**6):
        request = TokenRequest(user_id="john", auth_time=auth_time)
        assert decide(request, backend).user_id == "john"
