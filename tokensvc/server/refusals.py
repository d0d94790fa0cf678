"""Problem documents for requests that do not reach the application, or make it fail."""

import os
from collections.abc import Mapping
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from gunicorn.http.errors import (
    ConfigurationProblem,
    ExpectationFailed,
    ForbiddenProxyRequest,
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)

from tokensvc.core.errors import Code
from tokensvc.http.problems import Problems
from tokensvc.http.respond import Response
from tokensvc.telemetry import logging, metrics

RETRY_AFTER = 1
"""Seconds, for a client whose request got no thread."""


class RequestTimeout(ParseException):  # type: ignore[misc]  # gunicorn is untyped
    """The request did not arrive in time."""


class NoThread(ParseException):  # type: ignore[misc]  # gunicorn is untyped
    """Every thread waits for something, and the request has waited long enough for one."""


_REFUSED: Mapping[type[Exception], tuple[HTTPStatus, str]] = {
    RequestTimeout: (HTTPStatus.REQUEST_TIMEOUT, "The request arrived too slowly."),
    NoThread: (HTTPStatus.SERVICE_UNAVAILABLE, "The service is busy. Retry after `Retry-After`."),
    LimitRequestLine: (HTTPStatus.REQUEST_URI_TOO_LONG, "The request target is too long."),
    LimitRequestHeaders: (
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "A header field is too long, or there are too many.",
    ),
    ExpectationFailed: (HTTPStatus.EXPECTATION_FAILED, "`Expect` may only be 100-continue."),
    UnsupportedTransferCoding: (
        HTTPStatus.NOT_IMPLEMENTED,
        "The only supported transfer coding is chunked.",
    ),
    ForbiddenProxyRequest: (HTTPStatus.FORBIDDEN, "The PROXY protocol is not supported."),
}
_MALFORMED = (HTTPStatus.BAD_REQUEST, "This is not well-formed HTTP/1.1 (RFC 9112).")
_INTERNAL = (ConfigurationProblem, InvalidResponseHeader, InvalidResponseHeaderName)


def refuse(error: Exception, request: bytes, client: Any, problems: Problems, now: float) -> bytes:
    """
    Log a request that fails before or in the application, and return its whole response.

    Args:
        error: Reason of the failure. An error that is not the client's gets status 500.
        request: Received bytes of the request.
        client: Address of the peer.
        problems: Writer of problem documents.
        now: Epoch seconds.
    """
    request_id = os.urandom(16).hex()
    if isinstance(error, NoThread):
        code, headers = Code.TEMPORARILY_UNAVAILABLE, (("Retry-After", str(RETRY_AFTER)),)
        response = problems.response(code, _REFUSED[NoThread][1], request_id, headers=headers)
    elif isinstance(error, ParseException) and not isinstance(error, _INTERNAL):
        status, detail = _REFUSED.get(type(error), _MALFORMED)
        code = Code.MALFORMED_REQUEST
        response = problems.response(code, detail, request_id, status=status)
    else:
        code = Code.INTERNAL_ERROR
        response = problems.internal_error(request_id)
    _record(response.status, code, request_id, client, error)
    if request.lstrip(b"\r\n").startswith(b"HEAD "):
        response.body = b""  # its length stays (RFC 9110 section 9.3.2)
    return _response_bytes(response, request_id, http_date(int(now)))


@lru_cache(maxsize=1)
def http_date(second: int) -> str:
    """Return epoch seconds as an HTTP date (RFC 9110 section 5.6.7)."""
    return formatdate(second, usegmt=True)


def _record(status: int, code: Code, request_id: str, client: Any, error: Exception) -> None:
    metrics.count_request("unmatched", "other", str(status), 0.0)
    metrics.count_refusal(code)
    # Only the class of a parse error: its text quotes the request with its credential.
    logging.log_request(
        request_id=request_id,
        status=status,
        code=code,
        reason=type(error).__name__,
        client=client[0] if isinstance(client, tuple) else "",
        **({"exc_info": error} if code is Code.INTERNAL_ERROR else {}),
    )


def _response_bytes(response: Response, request_id: str, date: str) -> bytes:
    status = HTTPStatus(response.status)
    fields = [
        ("Date", date),
        ("Connection", "close"),
        ("X-Request-Id", request_id),
        ("X-Content-Type-Options", "nosniff"),
        *response.headers,
    ]
    head = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n{head}\r\n".encode("latin-1") + response.body
    )
