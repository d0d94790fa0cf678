"""
The only caller of Stream: raw HTTP, one call a function.

The server token that a call carries is an admin credential without an end. It is made here, goes
into one header of one request to the configured host, and is in no return value, error or log.
"""

import hmac
import json
import time
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import urllib3
from urllib3.exceptions import HTTPError

import tokensvc
from tokensvc.core.clock import Clock

TIMEOUT = 5.0
"""Seconds for a connection, and for each silence in an answer."""

DEADLINE = 10.0
"""Seconds for an answer as a whole, against a host that sends it byte by byte."""

MAX_ANSWER_BYTES = 1024 * 1024

_HEADER = b"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"
_SERVER_CLAIMS = urlsafe_b64encode(b'{"server":true}').rstrip(b"=")


@dataclass(frozen=True, slots=True)
class KeyCheck:
    """
    What Stream says to a key pair.

    Attributes:
        accepted: Whether the secret is the one of that API key.
        detail: The app's name, or Stream's code and message. Not trusted text.
        clock_ahead: Seconds by which our clock runs ahead of Stream's, good to about a second;
            `None` when Stream did not tell the time.
    """

    accepted: bool
    detail: str
    clock_ahead: float | None


class StreamUnavailableError(Exception):
    """Stream gave no verdict: it was not reached, or answered something else than one."""


def check_key(*, base_url: str, api_key: str, secret: bytes, clock: Clock) -> KeyCheck:
    """
    Ask Stream whether it accepts a key pair, by `GET /app`.

    Args:
        base_url: Of Stream's API, without a path.
        api_key: Public.
        secret: The secret's UTF-8 bytes.
        clock: Compared with the `Date` of the answer.

    Raises:
        StreamUnavailableError: There is no verdict.
    """
    before = clock()
    status, date, body = _get(f"{base_url.rstrip('/')}/app", api_key, secret)
    clock_ahead = _clock_ahead((before + clock()) / 2, date)
    answer = _parse(body)
    if status == HTTPStatus.OK and isinstance(answer.get("app"), dict):
        name = str(answer["app"].get("name", "without a name"))
        return KeyCheck(accepted=True, detail=f"app {name}", clock_ahead=clock_ahead)
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN} and "code" in answer:
        detail = f"code {answer['code']}: {answer.get('message', '')}"
        return KeyCheck(accepted=False, detail=detail, clock_ahead=clock_ahead)
    raise StreamUnavailableError(f"GET /app was answered with status {status}")


def _get(url: str, api_key: str, secret: bytes) -> tuple[int, str | None, bytes]:
    """Send one request, with bounds on its time and size. A redirect would leak the token."""
    headers = {
        "Accept-Encoding": "identity",
        "Authorization": _server_token(secret),
        "stream-auth-type": "jwt",
        "X-Stream-Client": f"tokensvc-{tokensvc.__version__}",
    }
    deadline = time.monotonic() + DEADLINE
    # Without retries there are no redirects either.
    with urllib3.PoolManager(timeout=TIMEOUT, retries=False) as pool:
        try:
            response = pool.request(
                "GET",
                url,
                fields={"api_key": api_key},
                headers=headers,
                preload_content=False,
            )
            body = b""
            while chunk := response.read1(65536):
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    raise StreamUnavailableError(f"the answer is over {MAX_ANSWER_BYTES} bytes")
                if time.monotonic() > deadline:
                    raise StreamUnavailableError(f"the answer took over {DEADLINE:g} s")
        except HTTPError as error:
            raise StreamUnavailableError(f"{url} was not reached: {error}") from error
        return response.status, response.headers.get("Date"), body


def _server_token(secret: bytes) -> str:
    signing_input = _HEADER + b"." + _SERVER_CLAIMS
    signature = urlsafe_b64encode(hmac.digest(secret, signing_input, "sha256")).rstrip(b"=")
    return (signing_input + b"." + signature).decode("ascii")


def _parse(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _clock_ahead(now: float, date: str | None) -> float | None:
    """`Date` is cut to whole seconds (RFC 9110 section 5.6.7): on average half a second is lost."""
    try:
        stream_time = parsedate_to_datetime(date or "").timestamp()
    except ValueError:
        return None
    return now - (stream_time + 0.5)
