"""The keys of an issuer whose provider fails."""

import pytest
import structlog

from testing.doubles.issuer import IssuerDouble, hang_up, redirect, respond_with, send
from testing.manual_clock import ManualClock
from tests.issuers.conftest import MakeIssuers
from tests.issuers.refusals import authenticate, refused
from tokensvc.core.errors import Code
from tokensvc.database.engine import Database
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
    "broken": (respond_with({}, 500), "500"),
    "missing": (respond_with({}, 404), "404"),
    "elsewhere": (redirect("/jwks.json"), "redirects are not followed"),
    "garbage": (respond_with(b"<html>"), "not JSON"),
    "UTF-16": (respond_with('{"keys": []}'.encode("utf-16")), "not JSON"),
    "deep": (respond_with(b"[" * 100_000), "not JSON"),
    "array": (respond_with([]), "not a JSON object"),
    "not a set": (respond_with({"keys": {}}), "neither"),
    "huge": (oversized, "256 KiB"),
    "huge, without length": (endless, "256 KiB"),
    "too many keys": (respond_with({"keys": [{}] * 65}), "more than 64"),
    "compressed": (respond_with({"keys": []}, Content_Encoding="gzip"), "encoding"),
}


@pytest.mark.sec(17, 19)
@pytest.mark.parametrize("name", MISBEHAVIOURS)
def test_failed_fetch_leaves_the_old_keys_in_use(
    name: str, idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    """Only the health changes, and shows the reason."""
    issuers = make_issuers(idp.settings())
    authenticate(issuers, idp.token())
    idp.fault, why = MISBEHAVIOURS[name]
    issuers.refresh()
    assert authenticate(issuers, idp.token()).user_id == "john"
    health = issuers.health()["acme"]
    assert (health.state, health.keys) == ("stale", 1)
    assert why in health.last_error
    idp.fault = None
    issuers.refresh()
    assert issuers.health()["acme"].state == "ok"


@pytest.mark.sec(19)
@pytest.mark.parametrize("name", MISBEHAVIOURS)
def test_token_gets_503_while_there_are_no_keys(
    name: str, idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    """Not 401; and there is one fetch for each cool-down."""
    issuers = make_issuers(idp.settings())
    idp.fault, _ = MISBEHAVIOURS[name]
    for _ in range(3):
        refusal = refused(issuers, idp.token())
        assert refusal.code is Code.TEMPORARILY_UNAVAILABLE
        assert 1 <= refusal.retry_after <= COOLDOWN
    assert idp.hits() == 1
    assert issuers.health()["acme"].state == "unavailable"


@pytest.mark.sec(19)
def test_old_keys_are_used_until_max_stale(
    idp: IssuerDouble, make_issuers: MakeIssuers, clock: ManualClock
) -> None:
    """To the second; after that, tokens get 503, not 401."""
    issuers = make_issuers(idp.settings())
    authenticate(issuers, idp.token())
    idp.close()
    clock.now += DAY
    issuers.refresh()
    assert authenticate(issuers, idp.token()).user_id == "john"
    clock.now += 1
    assert refused(issuers, idp.token()).code is Code.TEMPORARILY_UNAVAILABLE
    assert issuers.health()["acme"].state == "unavailable"


@pytest.mark.sec(19)
def test_restart_during_an_outage_loads_the_stored_keys(
    idp: IssuerDouble, make_issuers: MakeIssuers, clock: ManualClock
) -> None:
    """Their age counts from the time of the fetch."""
    authenticate(make_issuers(idp.settings()), idp.token())
    idp.close()
    clock.now += DAY
    restarted = make_issuers(idp.settings())
    restarted.prepare()
    assert authenticate(restarted, idp.token()).user_id == "john"
    clock.now += 1
    assert refused(restarted, idp.token()).code is Code.TEMPORARILY_UNAVAILABLE


def test_stored_keys_of_another_url_are_not_used(
    idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    """After a change of `jwks_uri`, the keys of the previous URL are not trusted."""
    authenticate(make_issuers(idp.settings()), idp.token())
    moved = make_issuers(idp.settings(jwks_uri=f"{idp.url}/moved"))
    moved.load_stored_keys()
    assert refused(moved, idp.token()).code is Code.TEMPORARILY_UNAVAILABLE


def test_damaged_stored_set_is_ignored(
    idp: IssuerDouble, make_issuers: MakeIssuers, store: IssuerKeyStore
) -> None:
    """It causes a fetch and does not stop the start."""
    store.save(idp.issuer, StoredKeys(idp.jwks_uri, "damaged", 1))
    issuers = make_issuers(idp.settings())
    issuers.load_stored_keys()
    assert authenticate(issuers, idp.token()).user_id == "john"


def test_unavailable_database_stops_neither_start_nor_use(
    idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    """Keys are used although they can be neither loaded nor stored."""
    unreachable = Database.open("postgresql://unknown@127.0.0.1:1/none", pool_size=1)
    issuers = make_issuers(idp.settings(), store=IssuerKeyStore(unreachable))
    issuers.prepare()
    assert authenticate(issuers, idp.token()).user_id == "john"


def test_unreachable_issuer_does_not_stop_the_start(
    idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    """Only its tokens get 503."""
    issuers = make_issuers(idp.settings())
    idp.close()
    issuers.prepare()
    assert refused(issuers, idp.token()).code is Code.TEMPORARILY_UNAVAILABLE


@pytest.mark.sec(19)
def test_unknown_key_during_an_outage_gets_503(
    idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    """Without a fetch it is unknown whether the key is new: not 401."""
    issuers = make_issuers(idp.settings())
    authenticate(issuers, idp.token())
    idp.rotate()
    idp.fault = hang_up
    assert refused(issuers, idp.token()).code is Code.TEMPORARILY_UNAVAILABLE
    assert refused(issuers, idp.token()).code is Code.TEMPORARILY_UNAVAILABLE
    assert idp.hits() == 2


def test_set_without_a_usable_key_replaces_the_old_keys(
    idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    """Tokens of the provider get 503."""
    issuers = make_issuers(idp.settings())
    kid = idp.kids[0]
    authenticate(issuers, idp.token())
    idp.withdraw(kid)
    issuers.refresh()
    assert refused(issuers, idp.token(kid=kid)).code is Code.TEMPORARILY_UNAVAILABLE
    assert issuers.health()["acme"].state == "unavailable"


def test_failed_fetch_is_repeated_sooner(
    idp: IssuerDouble, make_issuers: MakeIssuers, clock: ManualClock
) -> None:
    """Without keys, the provider is asked again after seconds, not after the whole interval."""
    issuers = make_issuers(idp.settings(), refresh=300)
    idp.fault = hang_up
    issuers.refresh()
    issuers.refresh_due()
    assert idp.hits() == 1
    clock.now += 5
    issuers.refresh_due()
    idp.wait_for_hits(2)


def test_outage_of_an_issuer_is_logged_once_and_so_is_its_end(
    idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    issuers = make_issuers(idp.settings())
    issuers.refresh()
    with structlog.testing.capture_logs() as lines:
        for fault in (hang_up, hang_up, hang_up, None, None):
            idp.fault = fault
            issuers.refresh()
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("issuer_keys_fetch_failed", "warning"),
        ("issuer_keys_fetch_recovered", "info"),
    ]
