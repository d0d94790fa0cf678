"""Each preset, on a token of its provider's real shape."""

import json
from pathlib import Path

import pytest

from tests.conftest import ManualClock
from tests.issuers.conftest import MakeIssuers
from tokensvc.core.errors import Code, Refusal
from tokensvc.issuers.presets import expand
from tokensvc.issuers.settings import IssuerSettings
from tokensvc.issuers.store import IssuerKeyStore, StoredKeys

FILE = json.loads((Path(__file__).parents[1] / "vectors" / "provider_tokens.json").read_text())
VECTORS = FILE["vectors"]


@pytest.fixture
def issuers_of(make_issuers: MakeIssuers, store: IssuerKeyStore, clock: ManualClock):
    """Give a function that makes the issuers of a vector, its keys as if fetched just before."""
    clock.now = FILE["now"]

    def make(vector, **members):
        settings = IssuerSettings(
            **{"preset": vector["preset"], "audience": vector["audience"], **members}
        )
        published = StoredKeys(settings.jwks_uri, json.dumps(vector["published"]), FILE["now"])
        store.save(settings.issuer, published)
        issuers = make_issuers(settings)
        issuers.load_stored_keys()
        return issuers

    return make


@pytest.mark.parametrize("name", VECTORS)
def test_a_token_of_the_provider_signs_its_user_in(name: str, issuers_of) -> None:
    """Preset and audience are all that is needed; user and sign-in are the provider's."""
    vector = VECTORS[name]
    caller = issuers_of(vector).authenticate(vector["token"])
    assert caller.user_id == vector["user_id"]
    assert caller.signed_in_at == vector["signed_in_at"]
    assert caller.issuer == vector["preset"].partition(":")[0]


@pytest.mark.parametrize("name", VECTORS)
def test_a_token_for_another_audience_does_not(name: str, issuers_of) -> None:
    """The audience is compared for every provider, in whichever claim it has."""
    vector = VECTORS[name]
    with pytest.raises(Refusal) as caught:
        issuers_of(vector, audience="another").authenticate(vector["token"])
    assert caught.value.code is Code.CREDENTIALS_INVALID


def test_every_preset_has_a_vector() -> None:
    """A ninth provider needs its token here."""
    presets = {vector["preset"].partition(":")[0] for vector in VECTORS.values()}
    assert presets == {
        *("firebase", "auth0", "cognito", "keycloak", "supabase", "okta", "entra", "clerk")
    }


@pytest.mark.parametrize(
    ("preset", "issuer", "jwks_uri"),
    [
        (
            "auth0:my-tenant.eu.auth0.com",
            "https://my-tenant.eu.auth0.com/",
            "https://my-tenant.eu.auth0.com/.well-known/jwks.json",
        ),
        (
            "auth0:my-tenant",
            "https://my-tenant.auth0.com/",
            "https://my-tenant.auth0.com/.well-known/jwks.json",
        ),
        (
            "keycloak:id.example.com:8443/auth/acme",
            "https://id.example.com:8443/auth/realms/acme",
            "https://id.example.com:8443/auth/realms/acme/protocol/openid-connect/certs",
        ),
        (
            "okta:dev-1234.okta.com/aus2yrcz7aMrmDAKZ1t7",
            "https://dev-1234.okta.com/oauth2/aus2yrcz7aMrmDAKZ1t7",
            "https://dev-1234.okta.com/oauth2/aus2yrcz7aMrmDAKZ1t7/v1/keys",
        ),
    ],
)
def test_other_spellings_of_a_preset(preset: str, issuer: str, jwks_uri: str) -> None:
    """What a person would paste works too."""
    members = expand(preset)
    assert (members["issuer"], members["jwks_uri"]) == (issuer, jwks_uri)


@pytest.mark.parametrize(
    "preset",
    [
        "google:x",
        "firebase",
        "firebase:",
        "firebase:My Project",
        "auth0:https://my-tenant.auth0.com/",
        "cognito:eu-west-1/us-east-1_AbCdEfGhI",
        "keycloak:id.example.com",
        "okta:dev-1234.okta.com/",
        "entra:common",
        "entra:contoso.onmicrosoft.com",
        "clerk:clerk.example.com\n",
        "supabase:a/b",
    ],
)
def test_a_preset_that_cannot_be_is_refused(preset: str) -> None:
    """The error shows what a right one looks like."""
    with pytest.raises(ValueError, match=r":my-project|should look like [a-z0-9]+:"):
        expand(preset)
