"""Who gets a permit, who is refused first for what, and which times a permit states."""

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokensvc.core.callers import Caller, ServiceCaller, UserCaller
from tokensvc.core.errors import Code, Refusal
from tokensvc.core.user_ids import Alphabet
from tokensvc.keys.rules import KeyState, StreamKey, StreamKeyRing
from tokensvc.standing.rules import Standing
from tokensvc.tokens.rules import (
    Permit,
    TokenRequest,
    authorize,
    check_auth_time,
    subject_of,
)
from tokensvc.tokens.settings import MAX_TTL, TokenSettings

NOW = 1_800_000_000
JOHN = UserCaller(user_id="john", issuer="acme", signed_in_at=NOW - 60, clock_ahead=2)
BACKEND = ServiceCaller("svc.shop", frozenset({"tokens:mint"}), vouches=False)
VOUCHING = ServiceCaller("svc.shop", frozenset({"tokens:mint"}), vouches=True)
CLEAN = Standing(now=NOW, suspended=False, tokens_valid_after=None, floor=0, ring_version=1)
ACTIVE = StreamKey("active-key", b"a" * 32, KeyState.ACTIVE)
STANDBY = StreamKey("standby-key", b"s" * 32, KeyState.STANDBY)
RETIRING = StreamKey("retiring-key", b"r" * 32, KeyState.RETIRING)
RING = StreamKeyRing(1, [STANDBY, ACTIVE, RETIRING])


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
def test_the_first_refusal_in_the_contracts_order_wins(
    caller: Caller, faults: tuple[Code, ...]
) -> None:
    """Of any faults that a request has at once, it is told the first of the contract's order."""
    standing = Standing(
        now=NOW,
        suspended=Code.USER_SUSPENDED in faults,
        tokens_valid_after=NOW - 10 if Code.SIGN_IN_REQUIRED in faults else None,
        floor=NOW + 1 if Code.TEMPORARILY_UNAVAILABLE in faults else 0,
        ring_version=1,
    )
    request = TokenRequest(
        user_id="jane" if Code.USER_ID_MISMATCH in faults else None,
        auth_time=NOW - 60 if caller is BACKEND else None,
        api_key="unknown-key" if Code.API_KEY_UNKNOWN in faults else None,
        user={"id": "john", "role": "admin"} if Code.USER_INVALID in faults else None,
    )
    assert refusal_of(request, caller, standing).code is faults[0]


def test_a_key_that_is_required_is_asked_for_before_the_wait() -> None:
    """`api_key_required` stands where `api_key_unknown` does, before the 503 of a cut-off ahead."""
    ahead = replace(CLEAN, floor=NOW + 1)
    assert refusal_of(standing=ahead, api_key="required").code is Code.API_KEY_REQUIRED
    suspended = replace(CLEAN, suspended=True)
    assert refusal_of(standing=suspended, api_key="required").code is Code.USER_SUSPENDED


@pytest.mark.sec(22)
@given(
    now=st.integers(MAX_TTL, 2**40),
    skew=st.integers(0, 60),
    behind=st.integers(-100, 200) | st.just(None),
)
def test_iat_is_never_in_the_future_and_never_below_a_cut_off(
    now: int, skew: int, behind: int | None
) -> None:
    """Back-dated by the skew, as far as the highest cut-off lets; 503 while that lies ahead."""
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


@pytest.mark.sec(22)
@given(
    ttl=st.integers(60, MAX_TTL),
    share=st.floats(0, 0.05),
    random=st.floats(0, 1),
    now=st.integers(0, 2**40),
)
def test_a_default_life_is_shortened_a_little_and_never_under_a_minute(
    ttl: int, share: float, random: float, now: int
) -> None:
    """At most by the set share of it, so that a fleet does not come back in one second."""
    standing = replace(CLEAN, now=now)
    permit = decide(standing=standing, random=random, ttl=ttl, jitter=share)
    life = permit.expires_at - now
    assert max(60, ttl * (1 - share) - 1) <= life <= ttl
    assert type(permit.expires_at) is int


@pytest.mark.parametrize(
    ("ttl", "share", "random", "life"),
    [
        (3600, 0.05, 0.0, 3600),
        (3600, 0.05, 0.5, 3510),
        (3600, 0.05, 1.0, 3420),
        (3600, 0.0, 1.0, 3600),
        (62, 0.05, 1.0, 60),
        (60, 0.05, 1.0, 60),
    ],
)
def test_a_default_life_is_shortened_by_its_random_share(
    ttl: int, share: float, random: float, life: int
) -> None:
    """Evenly between the whole life and the life less the share."""
    assert decide(ttl=ttl, jitter=share, random=random).expires_at == NOW + life


@pytest.mark.sec(22)
@given(
    ttl=st.integers(60, MAX_TTL),
    requested=st.integers(60, MAX_TTL) | st.integers(60, 10**400),
    random=st.floats(0, 1),
)
def test_a_requested_life_is_exact_or_clamped(ttl: int, requested: int, random: float) -> None:
    """What is asked for to the second, whatever the jitter; above the setting, the setting."""
    permit = decide(TokenRequest(ttl=requested), random=random, ttl=ttl)
    assert permit.expires_at - NOW == min(requested, ttl)


@pytest.mark.parametrize(
    ("named", "key"),
    [
        (None, ACTIVE),
        ("active-key", ACTIVE),
        ("standby-key", STANDBY),
        ("retiring-key", RETIRING),
    ],
)
def test_the_key_that_the_client_was_built_with_signs(named: str | None, key: StreamKey) -> None:
    """A named key signs unless it is retired; for clients that name none, the active one does."""
    assert decide(TokenRequest(api_key=named)).key is key


def test_without_an_active_key_only_named_ones_sign() -> None:
    """503 for those who name none, and never another key in its place."""
    ring = StreamKeyRing(1, [STANDBY])
    assert refusal_of(ring=ring).code is Code.TEMPORARILY_UNAVAILABLE
    assert decide(TokenRequest(api_key="standby-key"), ring=ring).key is STANDBY
    assert decide(TokenRequest(api_key="active-key"), api_key="required").key is ACTIVE


@given(after=st.integers(-5, 5), clock_ahead=st.integers(0, 3))
def test_a_sign_in_before_the_cut_off_does_not_mint(after: int, clock_ahead: int) -> None:
    """Covered as long as the issuer's clock, running ahead, could have stamped it before."""
    cut_off = NOW - 30
    caller = replace(JOHN, signed_in_at=cut_off + after, clock_ahead=clock_ahead)
    standing = replace(CLEAN, tokens_valid_after=cut_off)
    if after >= clock_ahead:
        assert decide(caller=caller, standing=standing).user_id == "john"
        return
    refusal = refusal_of(caller=caller, standing=standing)
    assert refusal.code is Code.SIGN_IN_REQUIRED
    assert refusal.members == {"sign_in_after": cut_off + clock_ahead}
    assert refusal.max_age == 30 - clock_ahead


@pytest.mark.parametrize(
    ("auth_time", "passes"), [(None, False), (NOW - 30, False), (NOW - 29, False), (NOW - 28, True)]
)
def test_a_service_states_when_the_user_signed_in(auth_time: int | None, passes: bool) -> None:
    """Under a cut-off a service needs a later `auth_time`, two seconds of clock included."""
    standing = replace(CLEAN, tokens_valid_after=NOW - 30)
    request = TokenRequest(user_id="john", auth_time=auth_time)
    if passes:
        assert decide(request, BACKEND, standing).user_id == "john"
    else:
        refusal = refusal_of(request, BACKEND, standing)
        assert refusal.code is Code.SIGN_IN_REQUIRED
        assert ("`auth_time`" in refusal.detail) == (auth_time is None)


def test_a_service_that_vouches_is_stopped_by_suspension_alone() -> None:
    """Its word is a fresh sign-in; a suspended user gets nothing all the same."""
    covered = replace(CLEAN, tokens_valid_after=NOW - 30)
    assert decide(TokenRequest(user_id="john"), VOUCHING, covered).user_id == "john"
    suspended = replace(covered, suspended=True)
    refusal = refusal_of(TokenRequest(user_id="john"), VOUCHING, suspended)
    assert refusal.code is Code.USER_SUSPENDED


@pytest.mark.parametrize(
    ("auth_time", "now", "passes"),
    [
        (NOW - 10**6, NOW, True),
        (NOW + 2, NOW, True),
        (NOW + 3, NOW + 0.9, False),
        (NOW + 3, NOW + 1.0, True),
        (10**400, NOW, False),
    ],
)
def test_an_auth_time_ahead_is_refused(auth_time: int, now: float, passes: bool) -> None:
    """A sign-in over two seconds ahead would outlast a revocation yet to come."""
    request = TokenRequest(user_id="john", auth_time=auth_time)
    if passes:
        check_auth_time(request, now)
    else:
        with pytest.raises(Refusal, match="malformed_request"):
            check_auth_time(request, now)


@pytest.mark.sec(23)
def test_a_user_gets_a_token_for_nobody_else() -> None:
    """The id comes from the credential; one in the request can only contradict it."""
    for request in (TokenRequest(), TokenRequest(user_id="john"), TokenRequest(user_id="jane")):
        assert subject_of(request, JOHN, Alphabet.DOCUMENTED) == "john"
    assert decide(TokenRequest(user_id="john")).user_id == "john"
    assert refusal_of(TokenRequest(user_id="jane")).code is Code.USER_ID_MISMATCH
    jane = {"id": "jane", "name": "Jane"}
    assert refusal_of(TokenRequest(user=jane)).code is Code.USER_ID_MISMATCH


@pytest.mark.sec(23)
@pytest.mark.parametrize(
    ("request_", "caller", "code"),
    [
        (TokenRequest(auth_time=NOW), JOHN, Code.MALFORMED_REQUEST),
        (
            TokenRequest(user_id="john"),
            replace(BACKEND, scopes=frozenset()),
            Code.INSUFFICIENT_SCOPE,
        ),
        (
            TokenRequest(user_id="john"),
            replace(VOUCHING, scopes=frozenset({"users:read"})),
            Code.INSUFFICIENT_SCOPE,
        ),
        (TokenRequest(), BACKEND, Code.MALFORMED_REQUEST),
        (TokenRequest(user_id=""), BACKEND, Code.USER_ID_INVALID),
        (TokenRequest(user_id="John"), BACKEND, Code.USER_ID_INVALID),
        (TokenRequest(user_id="john\n"), BACKEND, Code.USER_ID_INVALID),
        (TokenRequest(user_id="john\0"), BACKEND, Code.USER_ID_INVALID),
        (TokenRequest(user_id="jоhn"), BACKEND, Code.USER_ID_INVALID),  # noqa: RUF001 - that is the point
        (TokenRequest(user_id='john","x":"'), BACKEND, Code.USER_ID_INVALID),
        (TokenRequest(user_id="j" * 256), BACKEND, Code.USER_ID_INVALID),
    ],
)
def test_a_service_names_a_legal_user_and_has_the_scope(
    request_: TokenRequest, caller: Caller, code: Code
) -> None:
    """Another user's token is for services with the scope alone, and every id is checked."""
    with pytest.raises(Refusal) as refused:
        subject_of(request_, caller, Alphabet.DOCUMENTED)
    assert refused.value.code is code
