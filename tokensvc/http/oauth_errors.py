"""Refusals of OAuth routes (RFC 6749 section 5.2)."""

import re
from collections.abc import Mapping
from http import HTTPStatus

import msgspec

from tokensvc.core import current_request
from tokensvc.core.errors import Code, OAuthError, Refusal
from tokensvc.http.problems import REALM, Problems, status_of, waiting_fields
from tokensvc.http.respond import JSON, Response, encode_json

TOKEN_PATH = "/oauth/token"  # noqa: S105 - a path
REVOCATION_PATH = "/oauth/revoke"
PATHS = frozenset({TOKEN_PATH, REVOCATION_PATH})
"""Paths whose refusals have the form of RFC 6749, also if the request does not reach the route."""


class OAuthErrorResponse(msgspec.Struct, frozen=True):
    """
    Reason of a refused request of an OAuth client.

    Attributes:
        error: Machine-readable reason.
        error_description: Cause and next step, for developers. The text may change.
    """

    error: OAuthError
    error_description: str


_ERRORS: Mapping[Code, OAuthError] = {
    Code.MALFORMED_REQUEST: OAuthError.INVALID_REQUEST,
    Code.PAYLOAD_TOO_LARGE: OAuthError.INVALID_REQUEST,
    Code.CREDENTIALS_INVALID: OAuthError.INVALID_CLIENT,
    Code.CREDENTIALS_EXPIRED: OAuthError.INVALID_CLIENT,
    Code.RATE_LIMITED: OAuthError.TEMPORARILY_UNAVAILABLE,
    Code.TEMPORARILY_UNAVAILABLE: OAuthError.TEMPORARILY_UNAVAILABLE,
    Code.INTERNAL_ERROR: OAuthError.SERVER_ERROR,
}
"""Error of each code that an OAuth route can have; a refusal may name another one."""

_EXCLUDED = re.compile(r"[^\x20-\x21\x23-\x5B\x5D-\x7E]")
"""Characters that RFC 6749 excludes from a description."""


class OAuthErrors(Problems):
    """Writer of the refusals of OAuth routes. A path that does not exist gets a problem."""

    def from_refusal(self, refusal: Refusal, request_id: str) -> Response:
        """Return the public part of a refusal."""
        error = refusal.oauth_error or _ERRORS.get(refusal.code)
        if error is None:
            return super().from_refusal(refusal, request_id)
        description = _EXCLUDED.sub("?", refusal.detail.replace('"', "'"))
        body = OAuthErrorResponse(error, description)
        status = _status(error, refusal)
        headers = waiting_fields(refusal, status)
        if status == HTTPStatus.UNAUTHORIZED:
            headers.append(("WWW-Authenticate", f'Basic realm="{REALM}", charset="UTF-8"'))
        return Response(status, encode_json(body), JSON, headers)

    def internal_error(self, request_id: str) -> Response:
        """Return the refusal for an unexpected exception, without any detail of it."""
        detail = "Internal error. Retry; if it persists, report `X-Request-Id`."
        return self.from_refusal(Refusal(Code.INTERNAL_ERROR, detail), request_id)


def _status(error: OAuthError, refusal: Refusal) -> int:
    """Return 401 only for a client that has used `Authorization` (RFC 6749 section 5.2)."""
    has_used_it = bool(current_request.get().environ.get("HTTP_AUTHORIZATION"))
    if error is OAuthError.INVALID_CLIENT and has_used_it:
        return HTTPStatus.UNAUTHORIZED
    status = status_of(refusal)
    return HTTPStatus.BAD_REQUEST if status == HTTPStatus.UNAUTHORIZED else status
