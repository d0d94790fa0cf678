"""Anonymous users of a provider whose preset knows them, through a running service."""

import json
import shutil
import time

import pytest

from testing.database_url import migrated_sqlite_file
from testing.doubles.issuer import compact, private_key, public_jwk
from testing.http_client import Client
from testing.service import running_service
from tests.vectors.make_provider_tokens import NOW, VECTORS
from tokensvc.database.engine import Database
from tokensvc.issuers.settings import IssuerSettings
from tokensvc.issuers.store import IssuerKeyStore, StoredKeys

ANONYMOUS = {
    "firebase": {"firebase": {"identities": {}, "sign_in_provider": "anonymous"}},
    "supabase": {"is_anonymous": True},
}
UNKNOWN = {
    "firebase": {"firebase": {"identities": {}}},
    "supabase": {"is_anonymous": "false"},
}
"""Claims that do not say whether the user is anonymous."""


def config(provider, anonymous):
    """Return the settings of an issuer that refuses or accepts anonymous users."""
    shape = VECTORS[provider]
    return {
        "name": f"{provider}-{anonymous}",
        "preset": shape["preset"],
        "audience": shape["audience"],
        "anonymous": anonymous,
    }


@pytest.fixture(scope="module", params=["refuse", "accept"])
def service(request, tmp_path_factory):
    """Yield a running service that has the providers' keys and does not wait for newer ones."""
    folder = tmp_path_factory.mktemp("anonymous")
    shutil.copy(migrated_sqlite_file(), folder / "tokensvc.db")
    issuers = [config(provider, request.param) for provider in ANONYMOUS]
    database = Database.open(f"sqlite:///{folder / 'tokensvc.db'}", pool_size=1)
    for provider, members in zip(ANONYMOUS, issuers, strict=True):
        settings = IssuerSettings(**members)
        header = VECTORS[provider]["header"]
        jwk = public_jwk(private_key(header["alg"]), kid=header["kid"], use="sig")
        keys = StoredKeys(settings.jwks_uri, json.dumps({"keys": [jwk]}), int(time.time()))
        IssuerKeyStore(database).save(settings.issuer, keys)
    database.close()
    with running_service(
        folder,
        TOKENSVC_ISSUERS=json.dumps(issuers),
        TOKENSVC_SHARED_USER_IDS="true",
        TOKENSVC_JWKS__TIMEOUT="0.001",  # too short for any fetch
    ) as running:
        yield request.param, running.base_url


def mint(url, provider, **claims):
    """Request a token with a new token of the provider."""
    age = int(time.time()) - NOW
    shape = VECTORS[provider]
    times = {name: value + age for name, value in shape["claims"].items() if is_time(value)}
    if "amr" in shape["claims"]:
        times["amr"] = [{"method": "anonymous", "timestamp": NOW + age - 60}]
    token = compact(
        shape["header"],
        {**shape["claims"], **times, **claims},
        private_key(shape["header"]["alg"]),
        shape["header"]["alg"],
    )
    return Client(url, {"Authorization": f"Bearer {token}"}).post("/v1/token")


def is_time(value):
    return isinstance(value, int) and value > NOW - 10**6


@pytest.mark.parametrize("provider", ANONYMOUS)
def test_anonymous_user_gets_a_token_only_if_the_issuer_accepts_them(service, provider):
    anonymous, url = service
    response = mint(url, provider, **ANONYMOUS[provider])
    if anonymous == "accept":
        assert response.status == 200, response.text
        return
    assert response.status == 401
    assert response.json["code"] == "credentials_invalid"
    assert response.json["detail"].startswith("Anonymous users get no token")


@pytest.mark.parametrize("provider", ANONYMOUS)
def test_user_who_signed_in_gets_a_token(service, provider):
    response = mint(service[1], provider)
    assert response.status == 200, response.text


@pytest.mark.parametrize("provider", ANONYMOUS)
def test_token_that_does_not_say_whether_the_user_is_anonymous_counts_as_anonymous(
    service, provider
):
    anonymous, url = service
    status = mint(url, provider, **UNKNOWN[provider]).status
    assert status == (200 if anonymous == "accept" else 401)
