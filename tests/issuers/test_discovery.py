"""Finding an issuer's keys through its metadata."""

import pytest

from tests.doubles.issuer import IssuerDouble
from tests.issuers.conftest import MakeIssuers
from tokensvc.core.errors import Code, Refusal
from tokensvc.issuers import discovery


def discovered(idp: IssuerDouble, make_issuers: MakeIssuers):
    return make_issuers(idp.settings(jwks_uri=None, discovery=True))


def test_keys_are_found_through_the_metadata(idp: IssuerDouble, make_issuers: MakeIssuers) -> None:
    """`discovery = true` needs no `jwks_uri`."""
    assert discovered(idp, make_issuers).authenticate(idp.token()).user_id == "john"
    assert idp.hits("/.well-known/openid-configuration") == 1


@pytest.mark.sec(11)
@pytest.mark.parametrize("other", ["{}/", "{}x", "https://evil.example", "", None, ["{}"]])
def test_metadata_of_another_issuer_is_refused(
    other: object, idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    """`issuer` of the metadata must be equal to the configured one, to the last character."""
    idp.metadata["issuer"] = other.format(idp.issuer) if isinstance(other, str) else other
    issuers = discovered(idp, make_issuers)
    with pytest.raises(Refusal) as caught:
        issuers.authenticate(idp.token())
    assert caught.value.code is Code.TEMPORARILY_UNAVAILABLE
    assert "another issuer" in issuers.health()["acme"].last_error
    assert idp.hits() == 0


@pytest.mark.sec(11, 17)
@pytest.mark.parametrize(
    "jwks_uri", ["http://id.acme.example/keys", "https://169.254.169.254/keys", "keys", None, 1]
)
def test_metadata_cannot_point_anywhere(
    jwks_uri: object, idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    """The address of the keys obeys the same rules as one that the operator writes."""
    idp.metadata["jwks_uri"] = jwks_uri
    issuers = discovered(idp, make_issuers)
    with pytest.raises(Refusal) as caught:
        issuers.authenticate(idp.token())
    assert caught.value.code is Code.TEMPORARILY_UNAVAILABLE
    assert issuers.health()["acme"].keys == 0


@pytest.mark.parametrize(
    ("issuer", "url"),
    [
        ("https://id.example", "https://id.example/.well-known/openid-configuration"),
        ("https://id.example/", "https://id.example/.well-known/openid-configuration"),
        ("https://id.example/realm", "https://id.example/realm/.well-known/openid-configuration"),
    ],
)
def test_the_metadata_stands_under_the_issuer(issuer: str, url: str) -> None:
    """Below its path, with one slash."""
    assert discovery.metadata_url(issuer) == url
