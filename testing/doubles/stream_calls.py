"""Calls to the Stream double without an SDK, with any token."""

import base64
import json
from typing import Any
from urllib.parse import urlencode

import jwt
import urllib3
from websockets.sync.client import ClientConnection, connect

from testing.doubles.stream import StreamDouble

KEY, SECRET = "key-1", "secret-of-the-first-key-0123456789abcdef"
NOW = 1_800_000_000
GOOD = {"user_id": "john", "iat": NOW - 5, "exp": NOW + 60}


def sign(claims: Any, **header: Any) -> str:
    """Sign any JSON value, as PyJWT signs claims."""
    return raw(json.dumps({"alg": "HS256", "typ": "JWT", **header}), json.dumps(claims))


def raw(header: str, payload: str, secret: str = SECRET) -> str:
    signing_input = ".".join(_segment(part.encode()) for part in (header, payload))
    digest = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
        signing_input.encode(), secret.encode()
    )
    return f"{signing_input}.{_segment(digest)}"


def _segment(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def call(
    stream: StreamDouble,
    token: str,
    *,
    method: str = "GET",
    path: str = "/users",
    api_key: str = KEY,
    auth_type: str = "jwt",
    body: Any = None,
    **query: str,
) -> urllib3.BaseHTTPResponse:
    return urllib3.request(
        method,
        f"{stream.url}{path}?{urlencode({'api_key': api_key, **query})}",
        json=body,
        headers={"Authorization": token, "stream-auth-type": auth_type},
        retries=False,
        timeout=10,
    )


def dial(
    stream: StreamDouble,
    token: str,
    *,
    api_key: str = KEY,
    user_id: str = "john",
    user: dict[str, Any] | None = None,
) -> ClientConnection:
    """Connect to Stream as a client does."""
    user = {"id": user_id, "name": "John"} if user is None else user
    query = {
        "api_key": api_key,
        "authorization": token,
        "stream-auth-type": "jwt",
        "json": json.dumps({"user_id": user_id, "user_details": user}),
    }
    return connect(f"ws{stream.url[4:]}/connect?{urlencode(query)}", proxy=None)


def connects(stream: StreamDouble, minted: dict[str, Any]) -> bool:
    """Connect with a token response. Return whether Stream accepts the token."""
    user_id = minted["user_id"]
    with dial(stream, minted["token"], api_key=minted["api_key"], user_id=user_id) as socket:
        return "error" not in json.loads(socket.recv())
