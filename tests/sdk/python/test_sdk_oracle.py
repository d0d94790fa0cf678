"""Stream's own SDKs are the oracle: what they make of the same claims is what the service mints."""

import itertools
from pathlib import Path
from typing import Any

import jwt
import pytest
import urllib3
from stream_chat import StreamChat

from testing.doubles.stream import StreamDouble
from testing.service import STREAM_API_KEY, STREAM_API_SECRET
from tests.sdk.chat_app import ChatApp
from tests.sdk.js.sdk_driver import Driver
from tests.vectors import make_stream_tokens


@pytest.fixture
def minted(app: ChatApp) -> dict[str, Any]:
    """Give the answer of the real service to a user."""
    answer: dict[str, Any] = app.mint(app.sign_in("oracle"), ttl=900).json()
    return answer


def test_a_minted_token_equals_the_python_sdks(minted: dict[str, Any]) -> None:
    """`create_token` with the answer's claims gives the answer's token."""
    stream_chat = StreamChat(STREAM_API_KEY, STREAM_API_SECRET)
    assert minted["token"] == stream_chat.create_token(
        minted["user_id"], exp=minted["expires_at"], iat=minted["issued_at"]
    )


def test_a_minted_token_equals_the_javascript_sdks(minted: dict[str, Any], node: Path) -> None:
    """`createToken` with the answer's claims gives the answer's token."""
    claims = {
        "user_id": minted["user_id"],
        "exp": minted["expires_at"],
        "iat": minted["issued_at"],
    }
    with Driver(node) as driver:
        made = driver.call("createTokens", secret=STREAM_API_SECRET, claims=[claims])
    assert made == [minted["token"]]


def test_both_sdks_agree_on_the_vectors(node: Path) -> None:
    """The vectors, which the signer is held to, are the JavaScript SDK's tokens too."""
    with Driver(node) as driver:
        for secret, vectors in itertools.groupby(
            make_stream_tokens.vectors(), key=lambda vector: vector["secret"]
        ):
            claims = list(vectors)
            made = driver.call("createTokens", secret=secret, claims=claims)
            assert made == [vector["token"] for vector in claims]


def test_a_minted_token_is_taken_by_the_sdk_and_by_stream(
    minted: dict[str, Any], node: Path, stream: StreamDouble
) -> None:
    """
    The JavaScript SDK takes it apart itself and compares the user; Stream verifies it.

    PyJWT, which the Python SDK signs with, verifies it too.
    """
    with Driver(node) as driver:
        driver.call("makeClient", apiKey=STREAM_API_KEY, baseURL=stream.url, options={})
        me = driver.call("connectUser", user={"id": "oracle"}, token=minted["token"])
    assert me["id"] == "oracle"
    verified = jwt.decode(
        minted["token"], STREAM_API_SECRET, ["HS256"], options={"require": ["exp"]}
    )
    assert verified["user_id"] == "oracle"


def test_a_token_as_text_is_what_a_plain_provider_needs(app: ChatApp, stream: StreamDouble) -> None:
    """Stream's Unity SDK sends the body of a GET as the token: no quotes, no newline."""
    answer = urllib3.request(
        "GET",
        app.token_url,
        headers={"Authorization": f"Bearer {app.sign_in('unity')}", "Accept": "text/plain"},
        retries=False,
    )
    claims = stream.app.authenticate(STREAM_API_KEY, "jwt", answer.data.decode("ascii"))
    assert claims.user_id == "unity"
