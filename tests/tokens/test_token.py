"""Successful responses of `/v1/token`, over a socket."""

import base64
import json
import time
from functools import partial

import jwt
import pytest

from testing.service import STREAM_API_KEY, STREAM_API_SECRET
from tests.tokens.conftest import TokenWorld
from tokensvc.clients.state import NewServiceClient

JOHN = {
    "id": "john",
    "name": "Jöhn Doe",
    "image": "https://getstream.io/random_svg/?name=John",
    "privacy_settings": {"typing_indicators": {"enabled": False}},
}


def claims_of(token: str) -> dict[str, object]:
    """Verify a Stream token as Stream does, and return its claims."""
    return jwt.decode(token, STREAM_API_SECRET, algorithms=["HS256"])


def test_empty_body_gets_a_token(world: TokenWorld) -> None:
    """The credential alone suffices; not even a Content-Type is needed."""
    before = int(time.time())
    response = world.mint()
    after = int(time.time())

    assert response.status == 200
    body = response.json
    claims = claims_of(body["token"])
    assert claims == {"user_id": "john", "iat": body["issued_at"], "exp": body["expires_at"]}
    assert before - 5 <= body["issued_at"] <= after - 5
    assert 3420 <= body["expires_in"] <= 3600
    assert body["api_key"] == STREAM_API_KEY
    assert body["user"] is None


@pytest.mark.sec(22)
def test_nothing_from_the_request_enters_the_token(world: TokenWorld) -> None:
    """Header and claims are exactly these, whatever the user object and the credential contain."""
    bearer = world.issuer.token(role="admin", server=True, user_id="jane")
    token = world.mint(bearer=bearer, json={"user": JOHN}).json["token"]
    header, payload, _ = token.split(".")
    assert _decoded(header) == '{"alg":"HS256","typ":"JWT"}'
    assert list(json.loads(_decoded(payload))) == ["user_id", "exp", "iat"]


def test_get_mints_by_query(world: TokenWorld) -> None:
    """A client that can only GET gets a token, bare if it accepts text."""
    query = {"user_id": "john", "api_key": STREAM_API_KEY, "ttl": 90}
    headers = {"Authorization": f"Bearer {world.issuer.token()}"}
    response = world.anonymous.get("/v1/token", query=query, headers=headers)
    assert response.json["expires_in"] == 90

    bare = world.anonymous.get("/v1/token", headers={**headers, "Accept": "text/plain"})
    assert claims_of(bare.text)["user_id"] == "john"
    assert bare.text == bare.text.strip()


@pytest.mark.parametrize(
    ("requested", "granted"),
    [(60, 60), (61, 61), (3600, 3600), (3601, 3600), (10**30, 3600)],
)
@pytest.mark.sec(22)
def test_requested_lifetime_is_exact_up_to_the_setting(
    world: TokenWorld, requested: int, granted: int
) -> None:
    """A `ttl` has no jitter; above the setting, however large, the setting applies."""
    body = world.mint(json={"ttl": requested}).json
    assert body["expires_in"] == granted


def test_user_object_is_in_the_response(world: TokenWorld) -> None:
    """The checked object, ready for `connectUser`."""
    assert world.mint(json={"user": JOHN}).json["user"] == JOHN


def test_service_mints_for_the_user_it_names(
    world: TokenWorld, service_client: NewServiceClient
) -> None:
    response = world.mint_as_service(service_client, user_id="jane", auth_time=int(time.time()))
    assert claims_of(response.json["token"])["user_id"] == "jane"


def test_me_returns_the_mapped_id(world: TokenWorld) -> None:
    """A client gets its ID on Stream and the API key here."""
    response = world.anonymous.get(
        "/v1/me", headers={"Authorization": f"Bearer {world.issuer.token(sub='jane')}"}
    )
    assert response.json == {"user_id": "jane", "api_key": STREAM_API_KEY, "issuer": "acme"}


def test_minting_writes_nothing(world: TokenWorld, service_client: NewServiceClient) -> None:
    """Minting leaves the database file unchanged, for users and for services."""
    written = 0
    with world.database.read() as connection:
        for _ in range(3):
            for mint in (
                world.mint,
                partial(world.mint_as_service, service_client, user_id="jane"),
            ):
                before = connection.exec_driver_sql("PRAGMA data_version").scalar()
                assert mint().status == 200
                written += connection.exec_driver_sql("PRAGMA data_version").scalar() != before
    # The background writes usage once a minute.
    assert written <= 1


@pytest.mark.sec(24)
def test_minted_token_is_not_a_credential(world: TokenWorld) -> None:
    token = world.mint().json["token"]
    assert world.mint(bearer=token, valid=True).code == "credentials_invalid"


def _decoded(segment: str) -> str:
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)).decode()
