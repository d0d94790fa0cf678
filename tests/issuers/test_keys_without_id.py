"""Tokens and keys without `kid`: a match is a guess, and a rotation is noticed all the same."""

import pytest

from testing.doubles.issuer import IssuerDouble, answer, hang_up, public_jwk
from tests.conftest import ManualClock
from tests.issuers.conftest import MakeIssuers
from tests.issuers.refusals import refused
from tokensvc.core.errors import Code

COOLDOWN = 30


def rotate(idp: IssuerDouble) -> None:
    """Let another key sign, and publish it alone."""
    idp.rotate()
    idp.withdraw(idp.kids[0])


def unnamed_token(idp: IssuerDouble) -> str:
    return idp.sign(idp.claims(), header={"kid": None})


def test_a_rotation_is_noticed_by_a_token_without_an_id(
    idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    """When no known key of the algorithm verifies it, the provider is asked."""
    issuers = make_issuers(idp.settings())
    issuers.authenticate(unnamed_token(idp))
    rotate(idp)
    assert issuers.authenticate(unnamed_token(idp)).user_id == "john"
    assert idp.hits() == 2


def test_a_rotation_of_keys_without_id_is_noticed(
    idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    """Also when the token names a key, which a key without a name may be."""
    issuers = make_issuers(idp.settings())
    idp.fault = answer({"keys": [public_jwk(idp.key())]})
    issuers.authenticate(idp.token())
    rotate(idp)
    idp.fault = answer({"keys": [public_jwk(idp.key())]})
    assert issuers.authenticate(idp.token()).user_id == "john"
    assert idp.hits() == 2


@pytest.mark.sec(18)
def test_a_flood_of_forged_tokens_without_id_causes_one_fetch_a_cool_down(
    idp: IssuerDouble, make_issuers: MakeIssuers, clock: ManualClock
) -> None:
    """Whoever signs with a key of their own has the provider asked no more often."""
    issuers = make_issuers(idp.settings())
    issuers.authenticate(idp.token())
    forged = unnamed_token(idp)[:-8] + "AAAAAAAA"
    for cool_downs in (1, 2):
        for _ in range(5):
            assert refused(issuers, forged).code is Code.CREDENTIALS_INVALID
        assert idp.hits() == 1 + cool_downs
        clock.now += COOLDOWN


def test_a_named_key_that_does_not_verify_is_not_worth_a_fetch(
    idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    """The very key that the token names is here, and so the token is forged; or it has expired."""
    issuers = make_issuers(idp.settings())
    issuers.authenticate(idp.token())
    forged = idp.token()[:-8] + "AAAAAAAA"
    assert refused(issuers, forged).code is Code.CREDENTIALS_INVALID
    rotate(idp)
    now = int(idp.clock())
    expired = idp.sign(idp.claims(iat=now - 100, exp=now - 50), header={"kid": None})
    assert refused(issuers, expired).code is Code.CREDENTIALS_INVALID
    assert idp.hits() == 1


@pytest.mark.sec(19)
def test_during_an_outage_it_is_no_fault_of_the_token(
    idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    """While the set cannot be fetched, nobody knows whether the key is new: 503, not 401."""
    issuers = make_issuers(idp.settings())
    issuers.authenticate(unnamed_token(idp))
    rotate(idp)
    idp.fault = hang_up
    assert refused(issuers, unnamed_token(idp)).code is Code.TEMPORARILY_UNAVAILABLE
