"""The key cache of an issuer: no waiting, rotations, floods of unknown keys."""

import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import islice

import pytest

from testing.doubles.issuer import IssuerDouble
from testing.manual_clock import ManualClock
from tests.issuers.conftest import MakeIssuers
from tests.issuers.refusals import authenticate, refused
from tokensvc.core.errors import Code, Refusal

DAY = 86400
COOLDOWN = 30


def test_known_keys_do_not_wait_for_a_slow_provider(
    idp: IssuerDouble, make_issuers: MakeIssuers, clock: ManualClock
) -> None:
    issuers = make_issuers(idp.settings())
    authenticate(issuers, idp.token())
    idp.gate = threading.Event()
    clock.now += 300
    issuers.refresh_due()
    idp.wait_for_hits(2)
    assert authenticate(issuers, idp.token()).user_id == "john"
    idp.gate.set()
    issuers.refresh()


@pytest.mark.sec(18)
def test_unknown_keys_cause_one_fetch_per_cool_down(
    idp: IssuerDouble, make_issuers: MakeIssuers, clock: ManualClock
) -> None:
    issuers = make_issuers(idp.settings())
    authenticate(issuers, idp.token())
    for cool_downs in (1, 2, 3):
        for number in range(50):
            forged = idp.sign(idp.claims(), header={"kid": f"made-up-{number}"})
            assert refused(issuers, forged).code is Code.CREDENTIALS_INVALID
        assert idp.hits() == 1 + cool_downs
        clock.now += COOLDOWN


@pytest.mark.sec(18)
@pytest.mark.parametrize("waiters", [2, 50])
def test_threads_at_a_cold_start_share_one_fetch(
    waiters: int, idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    """Those with a wait slot get its result; the others get 503 while it hangs."""
    issuers = make_issuers(idp.settings(), waiters=waiters)
    idp.gate = threading.Event()
    together = threading.Barrier(51)

    def sign_in(number: int) -> str | Refusal:
        together.wait()
        try:
            return authenticate(issuers, idp.token(sub=f"user-{number}")).user_id
        except Refusal as refusal:
            return refusal

    with ThreadPoolExecutor(50) as pool:
        requests = [pool.submit(sign_in, number) for number in range(50)]
        together.wait()
        idp.wait_for_hits(1)
        rejected = [request.result() for request in islice(as_completed(requests), 50 - waiters)]
        assert [request.done() for request in requests].count(False) == waiters
        idp.gate.set()
        results = [request.result() for request in requests]
    for refusal in rejected:
        assert isinstance(refusal, Refusal)
        assert (refusal.code, refusal.retry_after) == (Code.TEMPORARILY_UNAVAILABLE, 1)
    assert len({user for user in results if isinstance(user, str)}) == waiters
    assert idp.hits() == 1


def test_first_token_with_a_new_key_is_accepted(
    idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    """Tokens of the old key stay valid."""
    issuers = make_issuers(idp.settings())
    old = idp.token()
    authenticate(issuers, old)
    idp.rotate()
    assert authenticate(issuers, idp.token(sub="jane")).user_id == "jane"
    assert authenticate(issuers, old).user_id == "john"
    assert idp.hits() == 2


def test_new_key_is_found_after_the_cool_down_of_a_flood(
    idp: IssuerDouble, make_issuers: MakeIssuers, clock: ManualClock
) -> None:
    """An attacker who keeps the cool-down running delays a rotation by at most one cool-down."""
    issuers = make_issuers(idp.settings())
    authenticate(issuers, idp.token())
    refused(issuers, idp.sign(idp.claims(), header={"kid": "made-up"}))
    idp.rotate()
    assert refused(issuers, idp.token()).code is Code.CREDENTIALS_INVALID
    clock.now += COOLDOWN
    assert authenticate(issuers, idp.token()).user_id == "john"


def test_withdrawn_key_is_dropped_immediately(idp: IssuerDouble, make_issuers: MakeIssuers) -> None:
    """It verifies nothing, also after a restart."""
    issuers = make_issuers(idp.settings())
    stolen = idp.kids[0]
    authenticate(issuers, idp.token(kid=stolen))
    idp.rotate()
    idp.withdraw(stolen)
    issuers.refresh()
    assert refused(issuers, idp.token(kid=stolen)).code is Code.CREDENTIALS_INVALID
    restarted = make_issuers(idp.settings())
    restarted.load_stored_keys()
    assert refused(restarted, idp.token(kid=stolen)).code is Code.CREDENTIALS_INVALID


def test_expired_token_with_an_unknown_key_causes_no_fetch(
    idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    issuers = make_issuers(idp.settings())
    authenticate(issuers, idp.token())
    now = int(idp.clock())
    expired = idp.sign(idp.claims(iat=now - 100, exp=now - 50), header={"kid": "gone"})
    assert refused(issuers, expired).code is Code.CREDENTIALS_INVALID
    assert idp.hits() == 1


def test_first_refresh_fetches_keys_without_a_request(
    idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    make_issuers(idp.settings()).refresh_due()
    idp.wait_for_hits(1)


def test_keys_are_refreshed_after_the_interval(
    idp: IssuerDouble, make_issuers: MakeIssuers, clock: ManualClock
) -> None:
    issuers = make_issuers(idp.settings(), refresh=300)
    issuers.refresh()
    clock.now += 299
    issuers.refresh_due()
    assert idp.hits() == 1
    clock.now += 1
    issuers.refresh_due()
    idp.wait_for_hits(2)


def test_clock_set_back_does_not_extend_the_cool_down(
    idp: IssuerDouble, make_issuers: MakeIssuers, clock: ManualClock
) -> None:
    issuers = make_issuers(idp.settings())
    authenticate(issuers, idp.token())
    refused(issuers, idp.sign(idp.claims(), header={"kid": "made-up"}))
    clock.now -= 365 * DAY
    idp.rotate()
    assert authenticate(issuers, idp.token()).user_id == "john"


def test_each_issuer_has_its_own_keys(make_issuers: MakeIssuers, clock: ManualClock) -> None:
    """An outage of one issuer does not affect another, and its keys verify no other's token."""
    with IssuerDouble(clock=clock) as dead, IssuerDouble(clock=clock) as alive:
        alive.rotate()  # the doubles share their first key
        alive.withdraw(alive.kids[0])
        issuers = make_issuers(
            dead.settings(name="dead"), alive.settings(name="alive", user_id_prefix="a-")
        )
        dead.close()
        assert refused(issuers, dead.token()).code is Code.TEMPORARILY_UNAVAILABLE
        assert authenticate(issuers, alive.token()).issuer == "alive"
        crossed = dead.sign(alive.claims(), header={"kid": alive.kids[-1]})
        assert refused(issuers, crossed).code is Code.CREDENTIALS_INVALID
