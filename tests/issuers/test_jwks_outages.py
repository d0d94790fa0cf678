"""The keys of an issuer whose provider is dead, mad, or not what it was."""

import pytest

from tests.conftest import ManualClock
from tests.doubles.issuer import IssuerDouble, answer, hang_up, redirect, send
from tests.issuers.conftest import MakeIssuers, wait_until_dated
from tests.issuers.refusals import refused
from tokensvc.core.errors import Code
from tokensvc.database.engine import Database
from tokensvc.issuers.keyset import MAX_KEYS
from tokensvc.issuers.store import IssuerKeyStore, StoredKeys

DAY = 86400
COOLDOWN = 30


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
        refusal = refused(issuers, idp.token())
        assert refusal.code is Code.TEMPORARILY_UNAVAILABLE
        assert 1 <= refusal.retry_after <= COOLDOWN
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
    assert refused(issuers, idp.token()).code is Code.TEMPORARILY_UNAVAILABLE
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
        assert refused(restarted, idp.token()).code is Code.TEMPORARILY_UNAVAILABLE
    finally:
        restarted.stop()


def test_stored_keys_of_another_source_are_not_trusted(
    idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    """Whoever changes `jwks_uri`, since the old one was taken over, gets none of its keys."""
    make_issuers(idp.settings()).authenticate(idp.token())
    moved = make_issuers(idp.settings(jwks_uri=f"{idp.url}/moved"))
    moved.load_stored_keys()
    assert refused(moved, idp.token()).code is Code.TEMPORARILY_UNAVAILABLE


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
        assert refused(issuers, idp.token()).code is Code.TEMPORARILY_UNAVAILABLE
    finally:
        issuers.stop()


@pytest.mark.sec(19)
def test_an_unknown_key_during_an_outage_is_no_fault_of_the_token(
    idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    """While the set cannot be fetched nobody knows whether the key is new: 503, not 401."""
    issuers = make_issuers(idp.settings())
    issuers.authenticate(idp.token())
    idp.rotate()
    idp.fault = hang_up
    assert refused(issuers, idp.token()).code is Code.TEMPORARILY_UNAVAILABLE
    assert refused(issuers, idp.token()).code is Code.TEMPORARILY_UNAVAILABLE
    assert idp.hits() == 2


def test_a_set_without_a_usable_key_ends_the_trust_in_all(
    idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    """A provider that withdraws everything is taken at its word, and its tokens get 503."""
    issuers = make_issuers(idp.settings())
    kid = idp.kids[0]
    issuers.authenticate(idp.token())
    idp.withdraw(kid)
    issuers.refresh()
    assert refused(issuers, idp.token(kid=kid)).code is Code.TEMPORARILY_UNAVAILABLE
    assert issuers.health()["acme"].state == "unavailable"


def test_a_failed_fetch_is_repeated_sooner(
    idp: IssuerDouble, make_issuers: MakeIssuers, clock: ManualClock
) -> None:
    """Without keys a provider is asked again after seconds, not after the whole interval."""
    issuers = make_issuers(idp.settings(), refresh=300)
    idp.fault = hang_up
    issuers.start()
    try:
        idp.wait_for_hits(1)
        wait_until_dated(issuers)
        clock.now += 5
        idp.wait_for_hits(2)
    finally:
        issuers.stop()
