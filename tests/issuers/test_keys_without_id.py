"""Tokens and keys without `kid`: a match is a guess; a rotation is still noticed."""

import pytest

from testing.doubles.issuer import IssuerDouble, hang_up, public_jwk, respond_with
from testing.manual_clock import ManualClock
from tests.issuers.conftest import MakeIssuers
from tests.issuers.refusals import authenticate, refused
from tokensvc.core.errors import Code

COOLDOWN = 30


def rotate(idp: IssuerDouble) -> None:
    """Sign with another key, and publish only that one."""
    idp.rotate()
    idp.withdraw(idp.kids[0])


def unnamed_token(idp: IssuerDouble) -> str:
    return idp.sign(idp.claims(), header={"kid": None})


def test_token_without_id_finds_a_new_key(idp: IssuerDouble, make_issuers: MakeIssuers) -> None:
    """If no known key of the algorithm verifies it, the keys are fetched."""
    issuers = make_issuers(idp.settings())
    authenticate(issuers, unnamed_token(idp))
    rotate(idp)
    assert authenticate(issuers, unnamed_token(idp)).user_id == "john"
    assert idp.hits() == 2


def test_new_key_without_id_is_found(idp: IssuerDouble, make_issuers: MakeIssuers) -> None:
    """Also by a token with a `kid`, because a key without one may have signed it."""
    issuers = make_issuers(idp.settings())
    idp.fault = respond_with({"keys": [public_jwk(idp.key())]})
    authenticate(issuers, idp.token())
    rotate(idp)
    idp.fault = respond_with({"keys": [public_jwk(idp.key())]})
    assert authenticate(issuers, idp.token()).user_id == "john"
    assert idp.hits() == 2


@pytest.mark.sec(18)
def test_forged_tokens_without_id_cause_one_fetch_per_cool_down(
    idp: IssuerDouble, make_issuers: MakeIssuers, clock: ManualClock
) -> None:
    issuers = make_issuers(idp.settings())
    authenticate(issuers, idp.token())
    forged = unnamed_token(idp)[:-8] + "AAAAAAAA"
    for cool_downs in (1, 2):
        for _ in range(5):
            assert refused(issuers, forged).code is Code.CREDENTIALS_INVALID
        assert idp.hits() == 1 + cool_downs
        clock.now += COOLDOWN


def test_known_key_that_does_not_verify_causes_no_fetch(
    idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    """The key that the token names is known, so the token is forged; an expired one is refused."""
    issuers = make_issuers(idp.settings())
    authenticate(issuers, idp.token())
    forged = idp.token()[:-8] + "AAAAAAAA"
    assert refused(issuers, forged).code is Code.CREDENTIALS_INVALID
    rotate(idp)
    now = int(idp.clock())
    expired = idp.sign(idp.claims(iat=now - 100, exp=now - 50), header={"kid": None})
    assert refused(issuers, expired).code is Code.CREDENTIALS_INVALID
    assert idp.hits() == 1


@pytest.mark.sec(19)
def test_token_without_id_gets_503_during_an_outage(
    idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    """Without a fetch it is unknown whether the key is new: not 401."""
    issuers = make_issuers(idp.settings())
    authenticate(issuers, unnamed_token(idp))
    rotate(idp)
    idp.fault = hang_up
    assert refused(issuers, unnamed_token(idp)).code is Code.TEMPORARILY_UNAVAILABLE
