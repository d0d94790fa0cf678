"""Minted tokens equal those of Stream's own SDKs for the same claims."""

import itertools
from pathlib import Path
from typing import Any

import jwt
import pytest
import urllib3
from stream_chat import StreamChat

from testing.doubles.stream import StreamDouble
from testing.sdk_driver import Driver
from testing.service import STREAM_API_KEY, STREAM_API_SECRET
from tests.sdk.chat_app import ChatApp
from tests.vectors import make_stream_tokens


@pytest.fixture
def minted(app: ChatApp) -> dict[str, Any]:
    """Return a token response of the real service."""
    response: dict[str, Any] = app.mint(app.sign_in("oracle"), ttl=900).json()
    return response


def test_minted_token_equals_the_python_sdk(minted: dict[str, Any]) -> None:
    stream_chat = StreamChat(STREAM_API_KEY, STREAM_API_SECRET)
    assert minted["token"] == stream_chat.create_token(
        minted["user_id"], exp=minted["expires_at"], iat=minted["issued_at"]
    )


def test_minted_token_equals_the_javascript_sdk(minted: dict[str, Any], node: Path) -> None:
    claims = {
        "user_id": minted["user_id"],
        "exp": minted["expires_at"],
        "iat": minted["issued_at"],
    }
    with Driver(node) as driver:
        made = driver.call("createTokens", secret=STREAM_API_SECRET, claims=[claims])
    assert made == [minted["token"]]


def test_vectors_equal_the_javascript_sdk(node: Path) -> None:
    """The signer's tests compare it with the same vectors."""
    with Driver(node) as driver:
        for secret, vectors in itertools.groupby(
            make_stream_tokens.vectors(), key=lambda vector: vector["secret"]
        ):
            claims = list(vectors)
            made = driver.call("createTokens", secret=secret, claims=claims)
            assert made == [vector["token"] for vector in claims]


def test_minted_token_is_accepted_by_sdk_stream_and_pyjwt(
    minted: dict[str, Any], node: Path, stream: StreamDouble
) -> None:
    with Driver(node) as driver:
        driver.call("makeClient", apiKey=STREAM_API_KEY, baseURL=stream.url, options={})
        me = driver.call("connectUser", user={"id": "oracle"}, token=minted["token"])
    assert me["id"] == "oracle"
    verified = jwt.decode(
        minted["token"], STREAM_API_SECRET, ["HS256"], options={"require": ["exp"]}
    )
    assert verified["user_id"] == "oracle"


def test_text_response_is_only_the_token(app: ChatApp, stream: StreamDouble) -> None:
    """Stream's Unity SDK sends the body of a GET as the token, without changes."""
    response = urllib3.request(
        "GET",
        app.token_url,
        headers={"Authorization": f"Bearer {app.sign_in('unity')}", "Accept": "text/plain"},
        retries=False,
    )
    claims = stream.app.authenticate(STREAM_API_KEY, "jwt", response.data.decode("ascii"))
    assert claims.user_id == "unity"
