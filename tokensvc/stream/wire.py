"""
One request to Stream with the server token.

The server token is an admin credential that never expires. This module makes it and sends it in one
header of one request to the configured host. It is in no return value, error or log. Redirects are
not followed, because the token would go with them.
"""

import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import tokensvc
from tokensvc.core.deadline import Deadline
from tokensvc.net.http import HttpResponse, send_request
from tokensvc.stream.keys.rules import StreamKey

DEADLINE = 3.0
"""Seconds for a request as a whole, name look-up included."""

MAX_RESPONSE_BYTES = 1024 * 1024

_HEADER = b"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"
_SERVER_CLAIMS = urlsafe_b64encode(b'{"server":true}').rstrip(b"=")


def send(
    base_url: str,
    key: StreamKey,
    method: str,
    path: str,
    *,
    query: Mapping[str, str] | None = None,
    body: Mapping[str, Any] | None = None,
) -> HttpResponse:
    """
    Send one request.

    Args:
        base_url: URL of Stream's API.
        path: Path below `base_url`, without a leading slash.
        body: JSON body.

    Raises:
        NoResponseError: No valid response arrived; `NotSentError` if nothing was sent.
    """
    parameters = urlencode({"api_key": key.api_key, **(query or {})})
    payload = None if body is None else json.dumps(body).encode("utf-8")
    return send_request(
        method,
        f"{base_url.rstrip('/')}/{path}?{parameters}",
        headers=_headers(key, payload),
        body=payload,
        deadline=Deadline(DEADLINE),
        max_bytes=MAX_RESPONSE_BYTES,
    )


def _headers(key: StreamKey, payload: bytes | None) -> dict[str, str]:
    headers = {
        "Authorization": _server_token(key.secret),
        "stream-auth-type": "jwt",
        "X-Stream-Client": f"tokensvc-{tokensvc.__version__}",
    }
    return headers if payload is None else {**headers, "Content-Type": "application/json"}


def _server_token(secret: bytes) -> str:
    signing_input = _HEADER + b"." + _SERVER_CLAIMS
    signature = urlsafe_b64encode(hmac.digest(secret, signing_input, "sha256")).rstrip(b"=")
    return (signing_input + b"." + signature).decode("ascii")
