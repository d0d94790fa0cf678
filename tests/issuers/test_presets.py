"""Each preset, with a token in the real form of its provider."""

import json
from pathlib import Path

import pytest

from testing.manual_clock import ManualClock
from tests.issuers.conftest import MakeIssuers
from tests.issuers.refusals import authenticate
from tokensvc.core.errors import Code, Refusal
from tokensvc.core.findings import Finding, State
from tokensvc.issuers.presets import expand
from tokensvc.issuers.settings import IssuerSettings
from tokensvc.issuers.store import IssuerKeyStore, StoredKeys

FILE = json.loads((Path(__file__).parents[1] / "vectors" / "provider_tokens.json").read_text())
VECTORS = FILE["vectors"]


@pytest.fixture
def issuers_of(make_issuers: MakeIssuers, store: IssuerKeyStore, clock: ManualClock):
    """Return a function that builds the issuers of a vector, with its keys already stored."""
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
def test_token_of_the_provider_is_accepted(name: str, issuers_of) -> None:
    """Preset and audience suffice."""
    vector = VECTORS[name]
    caller = authenticate(issuers_of(vector), vector["token"])
    assert caller.user_id == vector["user_id"]
    assert caller.signed_in_at == vector["signed_in_at"]
    assert caller.issuer == vector["preset"].partition(":")[0]


@pytest.mark.parametrize("name", VECTORS)
def test_token_for_another_audience_is_refused(name: str, issuers_of) -> None:
    """The audience is compared for every provider, in the claim of its preset."""
    vector = VECTORS[name]
    with pytest.raises(Refusal) as caught:
        authenticate(issuers_of(vector, audience="another"), vector["token"])
    assert caught.value.code is Code.CREDENTIALS_INVALID


@pytest.mark.parametrize(
    ("name", "shown"),
    [("firebase", 'firebase.sign_in_provider "password"'), ("supabase", "is_anonymous false")],
)
def test_explanation_shows_the_claim_that_marks_an_anonymous_user(
    name: str, shown: str, issuers_of
) -> None:
    vector = VECTORS[name]
    found = issuers_of(vector, anonymous="refuse").explain(vector["token"])
    assert found["anonymous users"] == Finding(State.OK, shown)


def test_every_preset_has_a_vector() -> None:
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
def test_other_forms_of_a_preset_are_accepted(preset: str, issuer: str, jwks_uri: str) -> None:
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
def test_invalid_preset_is_refused(preset: str) -> None:
    """The error shows a correct one."""
    with pytest.raises(ValueError, match=r":my-project|should look like [a-z0-9]+:"):
        expand(preset)
