"""The unmodified oauth4webapi, a strict OAuth client, works with the service."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testing.account_world import AccountWorld
from testing.service_clients import make_client
from tests.sdk.oauth_app import running_oauth_app

SCRIPT = Path(__file__).with_name("oauth_client.mjs")
APP = {"client_id": "app"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AccountWorld]:
    with running_oauth_app(tmp_path_factory.mktemp("oauth")) as running:
        yield running


def run(node: Path, world: AccountWorld, *commands: dict[str, Any]) -> list[dict[str, Any]]:
    """Run commands of `oauth_client.mjs` and return their results."""
    argument = json.dumps({"issuer": world.service.base_url, "commands": commands})
    finished = subprocess.run(
        [node, SCRIPT, argument], capture_output=True, text=True, timeout=60, check=False
    )
    assert finished.returncode == 0, finished.stderr
    results: list[dict[str, Any]] = json.loads(finished.stdout)
    return results


def test_app_refreshes_and_signs_out(node: Path, world: AccountWorld) -> None:
    """Discovery by RFC 8414, refresh, revocation, and the error after it."""
    token = world.open_session("ada").refresh_token
    (refreshed,) = run(node, world, {"do": "refresh", "client": APP, "refreshToken": token})
    tokens = refreshed["value"]
    me, validated, revoked, again, refused = run(
        node,
        world,
        {"do": "me", "accessToken": tokens["access_token"]},
        {"do": "validate", "accessToken": tokens["access_token"]},
        {"do": "revoke", "client": APP, "token": tokens["refresh_token"]},
        {"do": "revoke", "client": APP, "token": tokens["refresh_token"]},
        {"do": "refresh", "client": APP, "refreshToken": tokens["refresh_token"]},
    )
    assert me["value"]["user_id"] == "ada"
    assert (validated["value"]["sub"], validated["value"]["token_use"]) == ("ada", "user")
    assert revoked == again == {"value": None}
    assert (refused["kind"], refused["error"]) == ("ResponseBodyError", "invalid_grant")
    assert refused["status"] == 400


@pytest.mark.parametrize("in_body", [False, True])
def test_service_gets_a_token(node: Path, world: AccountWorld, in_body: bool) -> None:
    """With the secret form-encoded in Basic, as RFC 6749 says, and in the body."""
    shop = make_client(world.database, f"shop-{in_body}", "tokens:mint", "users:read")
    ask = {"do": "clientCredentials", "client": {"client_id": shop.id}, "inBody": in_body}
    whole, narrowed, wrong, beyond = run(
        node,
        world,
        {**ask, "secret": shop.secret},
        {**ask, "secret": shop.secret, "scope": "users:read"},
        {**ask, "secret": "wrong"},
        {**ask, "secret": shop.secret, "scope": "keys:write"},
    )
    assert whole["value"]["scope"] == "tokens:mint users:read"
    assert narrowed["value"]["scope"] == "users:read"
    service = world.with_token(narrowed["value"]["access_token"])
    assert service.get("/v1/app").status == 200
    assert wrong["kind"] == ("ResponseBodyError" if in_body else "WWWAuthenticateChallengeError")
    assert wrong["status"] == (400 if in_body else 401)
    assert beyond["error"] == "invalid_scope"
