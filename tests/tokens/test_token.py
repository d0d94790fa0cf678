"""What `/v1/token` answers, over a socket, to everyone who has a right to a token."""

import base64
import json
import time
from functools import partial

import jwt
import pytest

from testing.service import STREAM_API_KEY, STREAM_API_SECRET
from tests.tokens.conftest import World
from tokensvc.clients.creation import CreatedClient

JOHN = {
    "id": "john",
    "name": "Jöhn Doe",
    "image": "https://getstream.io/random_svg/?name=John",
    "privacy_settings": {"typing_indicators": {"enabled": False}},
}


def claims_of(token: str) -> dict[str, object]:
    """Verify a Stream token as Stream does, and give its claims."""
    return jwt.decode(token, STREAM_API_SECRET, algorithms=["HS256"])


def test_an_empty_body_is_enough(world: World) -> None:
    """A verified user gets a token without saying anything, a Content-Type included."""
    before = int(time.time())
    answer = world.mint()
    after = int(time.time())

    assert answer.status == 200
    body = answer.json
    claims = claims_of(body["token"])
    assert claims == {"user_id": "john", "iat": body["issued_at"], "exp": body["expires_at"]}
    assert before - 5 <= body["issued_at"] <= after - 5
    assert 3420 <= body["expires_in"] <= 3600
    assert body["api_key"] == STREAM_API_KEY
    assert body["user"] is None


@pytest.mark.sec(22)
def test_nothing_from_the_request_enters_the_token(world: World) -> None:
    """The header and the claims are exactly these, whatever the user object or the JWT holds."""
    bearer = world.issuer.token(role="admin", server=True, user_id="jane")
    token = world.mint(bearer=bearer, json={"user": JOHN}).json["token"]
    header, payload, _ = token.split(".")
    assert _decoded(header) == '{"alg":"HS256","typ":"JWT"}'
    assert list(json.loads(_decoded(payload))) == ["user_id", "exp", "iat"]


def test_a_get_says_the_same_in_the_query(world: World) -> None:
    """A client that can only GET gets the same token, bare when it asks for text."""
    query = {"user_id": "john", "api_key": STREAM_API_KEY, "ttl": 90}
    headers = {"Authorization": f"Bearer {world.issuer.token()}"}
    answer = world.client.get("/v1/token", query=query, headers=headers)
    assert answer.json["expires_in"] == 90

    bare = world.client.get("/v1/token", headers={**headers, "Accept": "text/plain"})
    assert claims_of(bare.text)["user_id"] == "john"
    assert bare.text == bare.text.strip()


@pytest.mark.parametrize(
    ("asked", "given"),
    [(60, 60), (61, 61), (3600, 3600), (3601, 3600), (10**30, 3600)],
)
def test_a_requested_life_is_exact_and_clamped(world: World, asked: int, given: int) -> None:
    """A `ttl` may only shorten: it is taken exactly, and however big, clamped to the setting."""
    body = world.mint(json={"ttl": asked}).json
    assert body["expires_in"] == given


def test_the_user_object_is_echoed(world: World) -> None:
    """What the client will hand to `connectUser` comes back as it was checked."""
    assert world.mint(json={"user": JOHN}).json["user"] == JOHN


def test_a_named_key_signs(world: World) -> None:
    """A client that names the key it was built with gets that key's token."""
    assert world.mint(json={"api_key": STREAM_API_KEY}).json["api_key"] == STREAM_API_KEY


def test_a_service_mints_for_whom_it_names(world: World, service_client: CreatedClient) -> None:
    """Basic credentials with the scope give a token for any legal user."""
    answer = world.mint_as_service(service_client, user_id="jane", auth_time=int(time.time()))
    assert claims_of(answer.json["token"])["user_id"] == "jane"


def test_twenty_at_once_pass(world: World) -> None:
    """A JavaScript client may ask five times at once; a burst of twenty from one user passes."""
    bearer = world.issuer.token(sub="bursty")
    assert [world.mint(bearer=bearer).status for _ in range(20)] == [200] * 20


def test_me_tells_the_mapped_id(world: World) -> None:
    """A client that does not know its id on Stream, or the key, asks here."""
    answer = world.client.get(
        "/v1/me", headers={"Authorization": f"Bearer {world.issuer.token(sub='jane')}"}
    )
    assert answer.json == {"user_id": "jane", "api_key": STREAM_API_KEY, "issuer": "acme"}


def test_minting_writes_nothing(world: World, service_client: CreatedClient) -> None:
    """The mint path leaves the database file as it was, for users and for services."""
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
    # The background thread writes down what was used, once a minute.
    assert written <= 1


@pytest.mark.sec(24)
def test_a_minted_token_is_no_credential(world: World) -> None:
    """What is signed for Stream opens nothing here."""
    token = world.mint().json["token"]
    assert world.mint(bearer=token, valid=True).code == "credentials_invalid"


def _decoded(segment: str) -> str:
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)).decode()
