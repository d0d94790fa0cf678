"""The cache of an issuer's keys, against a provider that is slow, dead, mad or under attack."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import ManualClock
from tests.doubles.issuer import IssuerDouble, answer, hang_up, redirect, send
from tests.issuers.conftest import MakeIssuers
from tokensvc.core.errors import Code, Refusal
from tokensvc.database.engine import Database
from tokensvc.issuers.keyset import MAX_KEYS
from tokensvc.issuers.service import Issuers
from tokensvc.issuers.shared_fetch import MAX_WAITING
from tokensvc.issuers.store import IssuerKeyStore, StoredKeys

DAY = 86400
COOLDOWN = 30


def refusal(issuers: Issuers, token: str) -> Refusal:
    """Give what a token is refused with."""
    with pytest.raises(Refusal) as caught:
        issuers.authenticate(token)
    return caught.value


def oversized(handler):
    send(handler, b'{"keys": [' + b" " * 300_000 + b"]}")


def endless(handler):
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    for _ in range(30):
        handler.wfile.write(b"4000\r\n" + b" " * 0x4000 + b"\r\n")


MISBEHAVIOURS = {
    "hangs up": (hang_up, "RemoteDisconnected"),
    "broken": (answer({}, 500), "500"),
    "missing": (answer({}, 404), "404"),
    "elsewhere": (redirect("/jwks.json"), "redirects are not followed"),
    "garbage": (answer(b"<html>"), "no JSON"),
    "UTF-16": (answer('{"keys": []}'.encode("utf-16")), "no JSON"),
    "deep": (answer(b"[" * 100_000), "no JSON"),
    "array": (answer([]), "no JSON object"),
    "no set": (answer({"keys": {}}), "neither"),
    "huge": (oversized, "256 KiB"),
    "huge, of no stated length": (endless, "256 KiB"),
    "too many keys": (answer({"keys": [{}] * (MAX_KEYS + 1)}), "more than 64"),
    "compressed": (answer({"keys": []}, Content_Encoding="gzip"), "encoding"),
}


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


@pytest.mark.sec(17, 19)
@pytest.mark.parametrize("name", MISBEHAVIOURS)
def test_a_provider_that_fails_leaves_the_old_keys_in_use(
    name: str, idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    """A fetch that fails in any way changes nothing but the health, which says why."""
    issuers = make_issuers(idp.settings())
    issuers.authenticate(idp.token())
    idp.fault, why = MISBEHAVIOURS[name]
    issuers.refresh()
    assert issuers.authenticate(idp.token()).user_id == "john"
    health = issuers.health()["acme"]
    assert (health.state, health.keys) == ("stale", 1)
    assert why in health.last_error
    idp.fault = None
    issuers.refresh()
    assert issuers.health()["acme"].state == "ok"


@pytest.mark.sec(19)
@pytest.mark.parametrize("name", MISBEHAVIOURS)
def test_a_provider_that_fails_from_the_start_is_no_fault_of_the_token(
    name: str, idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    """Without any keys a token is answered with 503, not with 401, and one fetch a cool-down."""
    issuers = make_issuers(idp.settings())
    idp.fault, _ = MISBEHAVIOURS[name]
    for _ in range(3):
        refused = refusal(issuers, idp.token())
        assert refused.code is Code.TEMPORARILY_UNAVAILABLE
        assert 1 <= refused.retry_after <= COOLDOWN
    assert idp.hits() == 1
    assert issuers.health()["acme"].state == "unavailable"


@pytest.mark.sec(19)
def test_a_dead_provider_is_survived_for_a_day(
    idp: IssuerDouble, make_issuers: MakeIssuers, clock: ManualClock
) -> None:
    """Old keys stand in for `max_stale`, to the second; after that tokens get 503, not 401."""
    issuers = make_issuers(idp.settings())
    issuers.authenticate(idp.token())
    idp.close()
    clock.now += DAY
    issuers.refresh()
    assert issuers.authenticate(idp.token()).user_id == "john"
    clock.now += 1
    assert refusal(issuers, idp.token()).code is Code.TEMPORARILY_UNAVAILABLE
    assert issuers.health()["acme"].state == "unavailable"


@pytest.mark.sec(19)
def test_a_restart_during_an_outage_does_not_forget_the_keys(
    idp: IssuerDouble, make_issuers: MakeIssuers, clock: ManualClock
) -> None:
    """A new process takes up the stored keys, and counts their age from when they were fetched."""
    make_issuers(idp.settings()).authenticate(idp.token())
    idp.close()
    clock.now += DAY
    restarted = make_issuers(idp.settings())
    restarted.start()
    try:
        assert restarted.authenticate(idp.token()).user_id == "john"
        clock.now += 1
        assert refusal(restarted, idp.token()).code is Code.TEMPORARILY_UNAVAILABLE
    finally:
        restarted.stop()


def test_stored_keys_of_another_source_are_not_trusted(
    idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    """Whoever changes `jwks_uri`, since the old one was taken over, gets none of its keys."""
    make_issuers(idp.settings()).authenticate(idp.token())
    moved = make_issuers(idp.settings(jwks_uri=f"{idp.url}/moved"))
    moved.load_stored_keys()
    assert refusal(moved, idp.token()).code is Code.TEMPORARILY_UNAVAILABLE


def test_a_stored_set_that_is_garbage_is_passed_over(
    idp: IssuerDouble, make_issuers: MakeIssuers, store: IssuerKeyStore
) -> None:
    """A damaged row costs a fetch, not the start."""
    store.save(idp.issuer, StoredKeys(idp.jwks_uri, "damaged", 1))
    issuers = make_issuers(idp.settings())
    issuers.load_stored_keys()
    assert issuers.authenticate(idp.token()).user_id == "john"


def test_a_database_that_is_gone_stops_neither_start_nor_use(
    idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    """Keys that can be neither loaded nor saved are used all the same."""
    nowhere = Database.open("postgresql://nobody@127.0.0.1:1/none", pool_size=1)
    issuers = make_issuers(idp.settings(), store=IssuerKeyStore(nowhere))
    issuers.start()
    try:
        assert issuers.authenticate(idp.token()).user_id == "john"
    finally:
        issuers.stop()


def test_an_unreachable_issuer_never_stops_a_start(
    idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    """The process starts; only that issuer's tokens get 503."""
    issuers = make_issuers(idp.settings())
    idp.close()
    issuers.start()
    try:
        assert refusal(issuers, idp.token()).code is Code.TEMPORARILY_UNAVAILABLE
    finally:
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
            assert refusal(issuers, forged).code is Code.CREDENTIALS_INVALID
        assert idp.hits() == 1 + cool_downs
        clock.now += COOLDOWN


@pytest.mark.sec(18)
def test_a_flood_of_unknown_keys_takes_few_threads(
    idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    """While a slow provider is asked, all but a few get 503 at once and known keys are served."""
    issuers = make_issuers(idp.settings())
    issuers.authenticate(idp.token())
    idp.gate = threading.Event()
    forged = idp.sign(idp.claims(), header={"kid": "made-up"})
    excess = 10
    turned_away = threading.Semaphore(0)

    def flood() -> Code:
        code = refusal(issuers, forged).code
        turned_away.release()
        return code

    with ThreadPoolExecutor(MAX_WAITING + excess) as pool:
        floods = [pool.submit(flood) for _ in range(MAX_WAITING + excess)]
        for _ in range(excess):
            turned_away.acquire()
        assert issuers.authenticate(idp.token()).user_id == "john"
        idp.wait_for_hits(2)
        idp.gate.set()
        codes = [one.result() for one in floods]
    assert codes.count(Code.TEMPORARILY_UNAVAILABLE) >= excess
    assert set(codes) <= {Code.TEMPORARILY_UNAVAILABLE, Code.CREDENTIALS_INVALID}
    assert idp.hits() == 2


@pytest.mark.sec(18)
def test_fifty_threads_at_a_cold_start_share_one_fetch(
    idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    """All wait for the one fetch, and all are served by it."""
    issuers = make_issuers(idp.settings())
    idp.gate = threading.Event()
    together = threading.Barrier(51)

    def sign_in(number: int) -> str:
        together.wait()
        return issuers.authenticate(idp.token(sub=f"user-{number}")).user_id

    with ThreadPoolExecutor(50) as pool:
        users = [pool.submit(sign_in, number) for number in range(50)]
        together.wait()
        idp.wait_for_hits(1)
        idp.gate.set()
        assert sorted(one.result() for one in users) == sorted(f"user-{n}" for n in range(50))
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
    refusal(issuers, idp.sign(idp.claims(), header={"kid": "made-up"}))
    idp.rotate()
    assert refusal(issuers, idp.token()).code is Code.CREDENTIALS_INVALID
    clock.now += COOLDOWN
    assert issuers.authenticate(idp.token()).user_id == "john"


@pytest.mark.sec(19)
def test_an_unknown_key_during_an_outage_is_no_fault_of_the_token(
    idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    """While the set cannot be fetched nobody knows whether the key is new: 503, not 401."""
    issuers = make_issuers(idp.settings())
    issuers.authenticate(idp.token())
    idp.rotate()
    idp.fault = hang_up
    assert refusal(issuers, idp.token()).code is Code.TEMPORARILY_UNAVAILABLE
    assert refusal(issuers, idp.token()).code is Code.TEMPORARILY_UNAVAILABLE
    assert idp.hits() == 2


def test_a_withdrawn_key_is_dropped_at_once(idp: IssuerDouble, make_issuers: MakeIssuers) -> None:
    """A key that is not in the latest set verifies nothing any more, here and after a restart."""
    issuers = make_issuers(idp.settings())
    stolen = idp.kids[0]
    issuers.authenticate(idp.token(kid=stolen))
    idp.rotate()
    idp.withdraw(stolen)
    issuers.refresh()
    assert refusal(issuers, idp.token(kid=stolen)).code is Code.CREDENTIALS_INVALID
    restarted = make_issuers(idp.settings())
    restarted.load_stored_keys()
    assert refusal(restarted, idp.token(kid=stolen)).code is Code.CREDENTIALS_INVALID


def test_a_set_without_a_usable_key_ends_the_trust_in_all(
    idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    """A provider that withdraws everything is taken at its word, and its tokens get 503."""
    issuers = make_issuers(idp.settings())
    kid = idp.kids[0]
    issuers.authenticate(idp.token())
    idp.withdraw(kid)
    issuers.refresh()
    assert refusal(issuers, idp.token(kid=kid)).code is Code.TEMPORARILY_UNAVAILABLE
    assert issuers.health()["acme"].state == "unavailable"


def test_an_expired_token_is_not_worth_a_fetch(
    idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    """Whatever key it names, it is refused without asking the provider."""
    issuers = make_issuers(idp.settings())
    issuers.authenticate(idp.token())
    now = int(idp.clock())
    expired = idp.sign(idp.claims(iat=now - 100, exp=now - 50), header={"kid": "gone"})
    assert refusal(issuers, expired).code is Code.CREDENTIALS_INVALID
    assert idp.hits() == 1


def test_keys_are_refreshed_in_the_background(
    idp: IssuerDouble, make_issuers: MakeIssuers, clock: ManualClock
) -> None:
    """Keys are fetched at the start and every `refresh` seconds, without any request."""
    issuers = make_issuers(idp.settings(), refresh=300)
    issuers.start()
    try:
        idp.wait_for_hits(1)
        clock.now += 300
        idp.wait_for_hits(2)
        clock.now += 300
        idp.wait_for_hits(3)
    finally:
        issuers.stop()


def test_a_failed_fetch_is_repeated_sooner(
    idp: IssuerDouble, make_issuers: MakeIssuers, clock: ManualClock
) -> None:
    """Without keys a provider is asked again after seconds, not after the whole interval."""
    issuers = make_issuers(idp.settings(), refresh=300)
    idp.fault = hang_up
    issuers.start()
    try:
        idp.wait_for_hits(1)
        clock.now += 5
        idp.wait_for_hits(2)
    finally:
        issuers.stop()


def test_a_clock_that_is_set_back_does_not_stretch_the_cool_down(
    idp: IssuerDouble, make_issuers: MakeIssuers, clock: ManualClock
) -> None:
    """After the host's clock jumps back by a year, an unknown key still causes a fetch."""
    issuers = make_issuers(idp.settings())
    refusal(issuers, idp.sign(idp.claims(), header={"kid": "made-up"}))
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
        assert refusal(issuers, dead.token()).code is Code.TEMPORARILY_UNAVAILABLE
        assert issuers.authenticate(alive.token()).issuer == "alive"
        crossed = dead.sign(alive.claims(), header={"kid": alive.kids[-1]})
        assert refusal(issuers, crossed).code is Code.CREDENTIALS_INVALID
