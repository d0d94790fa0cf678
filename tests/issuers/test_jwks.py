"""The keys of an issuer in use: nobody waits, rotations are seen, floods are held off."""

import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import islice

import pytest

from tests.conftest import ManualClock
from tests.doubles.issuer import IssuerDouble
from tests.issuers.conftest import MakeIssuers, wait_until_dated
from tests.issuers.refusals import refused
from tokensvc.core.errors import Code, Refusal

DAY = 86400
COOLDOWN = 30


def test_known_keys_need_no_network(idp: IssuerDouble, make_issuers: MakeIssuers) -> None:
    """Once fetched, keys serve any number of tokens without a further request."""
    issuers = make_issuers(idp.settings())
    for subject in ("john", "jane", "jack"):
        assert issuers.authenticate(idp.token(sub=subject)).user_id == subject
    assert idp.hits() == 1


def test_known_keys_do_not_wait_for_a_slow_provider(
    idp: IssuerDouble, make_issuers: MakeIssuers, clock: ManualClock
) -> None:
    """While a background fetch hangs, requests with a known key are served."""
    issuers = make_issuers(idp.settings())
    issuers.authenticate(idp.token())
    idp.gate = threading.Event()
    issuers.start()
    clock.now += 300
    idp.wait_for_hits(2)
    assert issuers.authenticate(idp.token()).user_id == "john"
    idp.gate.set()
    issuers.refresh()
    issuers.stop()


@pytest.mark.sec(18)
def test_a_flood_of_unknown_keys_causes_one_fetch_a_cool_down(
    idp: IssuerDouble, make_issuers: MakeIssuers, clock: ManualClock
) -> None:
    """However many keys are made up, the provider is asked once a cool-down."""
    issuers = make_issuers(idp.settings())
    issuers.authenticate(idp.token())
    for cool_downs in (1, 2, 3):
        for number in range(50):
            forged = idp.sign(idp.claims(), header={"kid": f"made-up-{number}"})
            assert refused(issuers, forged).code is Code.CREDENTIALS_INVALID
        assert idp.hits() == 1 + cool_downs
        clock.now += COOLDOWN


@pytest.mark.sec(18)
@pytest.mark.parametrize("waiters", [2, 50])
def test_fifty_threads_at_a_cold_start_share_one_fetch(
    waiters: int, idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    """Those who may wait are served by the one fetch; the others get 503 while it hangs."""
    issuers = make_issuers(idp.settings(), waiters=waiters)
    idp.gate = threading.Event()
    together = threading.Barrier(51)

    def sign_in(number: int) -> str | Refusal:
        together.wait()
        try:
            return issuers.authenticate(idp.token(sub=f"user-{number}")).user_id
        except Refusal as refusal:
            return refusal

    with ThreadPoolExecutor(50) as pool:
        asked = [pool.submit(sign_in, number) for number in range(50)]
        together.wait()
        idp.wait_for_hits(1)
        turned_away = [one.result() for one in islice(as_completed(asked), 50 - waiters)]
        assert [one.done() for one in asked].count(False) == waiters
        idp.gate.set()
        answers = [one.result() for one in asked]
    for refusal in turned_away:
        assert isinstance(refusal, Refusal)
        assert (refusal.code, refusal.retry_after) == (Code.TEMPORARILY_UNAVAILABLE, 1)
    assert len({user for user in answers if isinstance(user, str)}) == waiters
    assert idp.hits() == 1


def test_a_new_key_is_found_by_the_first_token_that_names_it(
    idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    """A rotation at the provider is noticed at once; tokens of the old key stay good."""
    issuers = make_issuers(idp.settings())
    old = idp.token()
    issuers.authenticate(old)
    idp.rotate()
    assert issuers.authenticate(idp.token(sub="jane")).user_id == "jane"
    assert issuers.authenticate(old).user_id == "john"
    assert idp.hits() == 2


def test_a_new_key_is_found_after_the_cool_down_of_a_flood(
    idp: IssuerDouble, make_issuers: MakeIssuers, clock: ManualClock
) -> None:
    """An attacker who keeps the cool-down busy delays a rotation by no more than it."""
    issuers = make_issuers(idp.settings())
    issuers.authenticate(idp.token())
    refused(issuers, idp.sign(idp.claims(), header={"kid": "made-up"}))
    idp.rotate()
    assert refused(issuers, idp.token()).code is Code.CREDENTIALS_INVALID
    clock.now += COOLDOWN
    assert issuers.authenticate(idp.token()).user_id == "john"


def test_a_withdrawn_key_is_dropped_at_once(idp: IssuerDouble, make_issuers: MakeIssuers) -> None:
    """A key that is not in the latest set verifies nothing any more, here and after a restart."""
    issuers = make_issuers(idp.settings())
    stolen = idp.kids[0]
    issuers.authenticate(idp.token(kid=stolen))
    idp.rotate()
    idp.withdraw(stolen)
    issuers.refresh()
    assert refused(issuers, idp.token(kid=stolen)).code is Code.CREDENTIALS_INVALID
    restarted = make_issuers(idp.settings())
    restarted.load_stored_keys()
    assert refused(restarted, idp.token(kid=stolen)).code is Code.CREDENTIALS_INVALID


def test_an_expired_token_is_not_worth_a_fetch(
    idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    """Whatever key it names, it is refused without asking the provider."""
    issuers = make_issuers(idp.settings())
    issuers.authenticate(idp.token())
    now = int(idp.clock())
    expired = idp.sign(idp.claims(iat=now - 100, exp=now - 50), header={"kid": "gone"})
    assert refused(issuers, expired).code is Code.CREDENTIALS_INVALID
    assert idp.hits() == 1


def test_keys_are_refreshed_in_the_background(
    idp: IssuerDouble, make_issuers: MakeIssuers, clock: ManualClock
) -> None:
    """Keys are fetched at the start and every `refresh` seconds, without any request."""
    issuers = make_issuers(idp.settings(), refresh=300)
    issuers.start()
    try:
        idp.wait_for_hits(1)
        for hits in (2, 3):
            wait_until_dated(issuers)
            clock.now += 300
            idp.wait_for_hits(hits)
    finally:
        issuers.stop()


def test_a_clock_that_is_set_back_does_not_stretch_the_cool_down(
    idp: IssuerDouble, make_issuers: MakeIssuers, clock: ManualClock
) -> None:
    """After the host's clock jumps back by a year, an unknown key still causes a fetch."""
    issuers = make_issuers(idp.settings())
    issuers.authenticate(idp.token())
    refused(issuers, idp.sign(idp.claims(), header={"kid": "made-up"}))
    clock.now -= 365 * DAY
    idp.rotate()
    assert issuers.authenticate(idp.token()).user_id == "john"


def test_each_issuer_has_its_own_keys(make_issuers: MakeIssuers, clock: ManualClock) -> None:
    """One issuer's outage is no other's, and no issuer's key verifies another's token."""
    with IssuerDouble(clock=clock) as dead, IssuerDouble(clock=clock) as alive:
        alive.rotate()  # the doubles share their first key
        alive.withdraw(alive.kids[0])
        issuers = make_issuers(
            dead.settings(name="dead"), alive.settings(name="alive", user_id_prefix="a-")
        )
        dead.close()
        assert refused(issuers, dead.token()).code is Code.TEMPORARILY_UNAVAILABLE
        assert issuers.authenticate(alive.token()).issuer == "alive"
        crossed = dead.sign(alive.claims(), header={"kid": alive.kids[-1]})
        assert refused(issuers, crossed).code is Code.CREDENTIALS_INVALID
