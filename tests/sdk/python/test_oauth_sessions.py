"""The `OAuth2Session` of Authlib and of requests-oauthlib, unmodified, refreshes by itself."""

import time
from collections.abc import Iterator
from typing import Any

import authlib.integrations.requests_client
import pytest
import requests_oauthlib
from oauthlib.oauth2 import BackendApplicationClient, InvalidGrantError
from requests.auth import HTTPBasicAuth

from testing.account_world import AccountWorld
from testing.service_clients import make_client
from tests.sdk.oauth_app import running_oauth_app


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AccountWorld]:
    with running_oauth_app(tmp_path_factory.mktemp("oauth")) as running:
        yield running


@pytest.fixture(autouse=True)
def _allow_http(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow both libraries to use http on this host."""
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")


def expired_tokens(world: AccountWorld, user_id: str, client_id: str) -> dict[str, Any]:
    """Return the tokens of a session whose access token has expired."""
    grant = world.open_session(user_id, client_id)
    return {
        "access_token": world.access_token(grant, age=3600),
        "token_type": "Bearer",
        "refresh_token": grant.refresh_token,
        "expires_at": int(time.time()) - 3000,
    }


def test_authlib_refreshes_an_expired_token(world: AccountWorld) -> None:
    url, stored = world.service.base_url, []
    session = authlib.integrations.requests_client.OAuth2Session(
        client_id="desktop",
        token_endpoint_auth_method="none",
        revocation_endpoint_auth_method="none",
        token=expired_tokens(world, "ada", "desktop"),
        token_endpoint=f"{url}/oauth/token",
        update_token=lambda token, **_: stored.append(token),
    )
    assert session.get(f"{url}/v1/me").json()["user_id"] == "ada"
    assert session.get(f"{url}/v1/me").status_code == 200
    (token,) = stored
    assert session.revoke_token(f"{url}/oauth/revoke", token["refresh_token"]).status_code == 200
    assert session.get(f"{url}/v1/me").json()["code"] == "sign_in_required"
    with pytest.raises(authlib.integrations.requests_client.OAuthError, match="invalid_grant"):
        session.refresh_token(f"{url}/oauth/token")


def test_requests_oauthlib_refreshes_an_expired_token(world: AccountWorld) -> None:
    url, stored = world.service.base_url, []
    session = requests_oauthlib.OAuth2Session(
        "desktop",
        token=expired_tokens(world, "grace", "desktop"),
        auto_refresh_url=f"{url}/oauth/token",
        auto_refresh_kwargs={"client_id": "desktop"},
        token_updater=stored.append,
    )
    assert session.get(f"{url}/v1/me").json()["user_id"] == "grace"
    assert session.get(f"{url}/v1/me").status_code == 200
    (token,) = stored
    world.revoke_token(token["refresh_token"], client_id="desktop")
    assert session.get(f"{url}/v1/me").json()["code"] == "sign_in_required"
    with pytest.raises(InvalidGrantError):
        session.refresh_token(f"{url}/oauth/token", client_id="desktop")


def test_authlib_gets_a_token_for_a_service(world: AccountWorld) -> None:
    url = world.service.base_url
    shop = make_client(world.database, "authlib", "users:read")
    for method in ("client_secret_basic", "client_secret_post"):
        session = authlib.integrations.requests_client.OAuth2Session(
            shop.id, shop.secret, token_endpoint_auth_method=method
        )
        session.fetch_token(f"{url}/oauth/token", grant_type="client_credentials")
        assert session.get(f"{url}/v1/app").status_code == 200


def test_requests_oauthlib_gets_a_token_for_a_service(world: AccountWorld) -> None:
    url = world.service.base_url
    shop = make_client(world.database, "requests-oauthlib", "users:read")
    session = requests_oauthlib.OAuth2Session(client=BackendApplicationClient(shop.id))
    session.fetch_token(f"{url}/oauth/token", auth=HTTPBasicAuth(shop.id, shop.secret))
    assert session.get(f"{url}/v1/app").status_code == 200
