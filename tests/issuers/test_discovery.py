"""An issuer's keys, found through its metadata."""

import pytest
import trustme

from testing.doubles.issuer import IssuerDouble
from tests.issuers.conftest import MakeIssuers
from tests.issuers.refusals import authenticate
from tests.net.conftest import NAME, secure_double
from tokensvc.core.errors import Code, Refusal
from tokensvc.issuers.issuer import metadata_url


def discovered(idp: IssuerDouble, make_issuers: MakeIssuers):
    return make_issuers(idp.settings(jwks_uri=None, discovery=True))


def test_keys_are_found_through_the_metadata(idp: IssuerDouble, make_issuers: MakeIssuers) -> None:
    """`discovery = true` needs no `jwks_uri`."""
    assert authenticate(discovered(idp, make_issuers), idp.token()).user_id == "john"
    assert idp.hits("/.well-known/openid-configuration") == 1


@pytest.mark.sec(11)
@pytest.mark.parametrize("other", ["{}/", "{}x", "https://evil.example", "", None, ["{}"]])
def test_metadata_of_another_issuer_is_refused(
    other: object, idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    """`issuer` of the metadata must equal the configured one exactly."""
    idp.metadata["issuer"] = other.format(idp.issuer) if isinstance(other, str) else other
    issuers = discovered(idp, make_issuers)
    with pytest.raises(Refusal) as caught:
        authenticate(issuers, idp.token())
    assert caught.value.code is Code.TEMPORARILY_UNAVAILABLE
    assert "another issuer" in issuers.health()["acme"].last_error
    assert idp.hits() == 0


@pytest.mark.sec(11, 17)
@pytest.mark.parametrize(
    "jwks_uri", ["http://id.acme.example/keys", "https://169.254.169.254/keys", "keys", None, 1]
)
def test_key_url_of_metadata_is_checked(
    jwks_uri: object, idp: IssuerDouble, make_issuers: MakeIssuers
) -> None:
    """The same rules apply as for a configured URL."""
    idp.metadata["jwks_uri"] = jwks_uri
    issuers = discovered(idp, make_issuers)
    with pytest.raises(Refusal) as caught:
        authenticate(issuers, idp.token())
    assert caught.value.code is Code.TEMPORARILY_UNAVAILABLE
    assert issuers.health()["acme"].keys == 0


@pytest.mark.sec(17)
def test_metadata_cannot_name_a_loopback_address(
    authority: trustme.CA, resolve: list[str], make_issuers: MakeIssuers
) -> None:
    """Only the operator, or an issuer on this machine, may name one."""
    with (
        secure_double(authority, NAME, name=NAME, host="127.0.0.2") as issuer,
        IssuerDouble(host="127.0.0.1") as inside,
    ):
        resolve.append("127.0.0.2")
        issuer.metadata["jwks_uri"] = inside.jwks_uri
        settings = issuer.settings(jwks_uri=None, discovery=True)
        issuers = make_issuers(settings, allowed_networks=["127.0.0.2/32"])
        issuers.refresh()
        assert "not public" in issuers.health()["acme"].last_error
        assert issuer.hits("/.well-known/openid-configuration") == 1
        assert inside.hits() == 0


@pytest.mark.parametrize(
    ("issuer", "url"),
    [
        ("https://id.example", "https://id.example/.well-known/openid-configuration"),
        ("https://id.example/", "https://id.example/.well-known/openid-configuration"),
        ("https://id.example/realm", "https://id.example/realm/.well-known/openid-configuration"),
    ],
)
def test_metadata_url_is_below_the_issuer(issuer: str, url: str) -> None:
    assert metadata_url(issuer) == url
