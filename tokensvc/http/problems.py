"""
Problem documents (RFC 9457): the only place that translates a `Refusal` to HTTP, together with
`protocol_errors.py`, which has the forms that other specifications need.

Problem documents are public: a refusal's `reason` and an exception's text are only logged.
"""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from tokensvc.core import current_request
from tokensvc.core.errors import Code, Refusal
from tokensvc.http.respond import Headers, Response, encode_json

PROBLEM_JSON = "application/problem+json"
REALM = "tokensvc"
RETRY_AFTER = 5
"""Seconds, for a refusal without `retry_after`."""


class Problem(msgspec.Struct, frozen=True):
    """
    Reason of a refused request (RFC 9457).

    Attributes:
        type: URL of the explanation of `code`.
        title: Code in words.
        status: HTTP status code.
        detail: Cause and next step, for developers. The text may change.
        code: Machine-readable reason.
        request_id: ID of the request, as in the log.
        sign_in_after: Earliest accepted sign-in time in epoch seconds, or `null` if no sign-in time
            is too early. Only with `sign_in_required`.
        reasons: Machine-readable reasons why a password is rejected: `too_short`, `too_long`,
            `invalid_characters`, `too_common`, `like_user_id`, `like_service_name`. Only with
            `password_rejected`.
    """

    type: str
    title: str
    status: int
    detail: str
    code: Code
    request_id: str
    sign_in_after: int | UnsetType | None = UNSET
    reasons: list[str] | UnsetType = UNSET


STATUS_AND_TITLE: Mapping[Code, tuple[int, str]] = {
    Code.MALFORMED_REQUEST: (400, "Malformed request"),
    Code.API_KEY_UNKNOWN: (400, "Unknown API key"),
    Code.API_KEY_REQUIRED: (400, "API key required"),
    Code.CODE_INVALID: (400, "Invalid code"),
    Code.CREDENTIALS_MISSING: (401, "Missing credentials"),
    Code.CREDENTIALS_INVALID: (401, "Invalid credentials"),
    Code.CREDENTIALS_EXPIRED: (401, "Expired credentials"),
    Code.SIGN_IN_REQUIRED: (401, "Sign-in required"),
    Code.USER_SUSPENDED: (403, "User suspended"),
    Code.USER_ERASED: (403, "User erased"),
    Code.USER_ID_MISMATCH: (403, "User ID mismatch"),
    Code.INSUFFICIENT_SCOPE: (403, "Insufficient scope"),
    Code.SIGN_UP_CLOSED: (403, "Sign-up closed"),
    Code.INVITATION_INVALID: (403, "Invalid invitation"),
    Code.CONFLICT: (409, "Conflict with current state"),
    Code.SUPERSEDED: (409, "Superseded by a later revocation"),
    Code.USER_ID_TAKEN: (409, "User ID taken"),
    Code.NOT_FOUND: (404, "Not found"),
    Code.METHOD_NOT_ALLOWED: (405, "Method not allowed"),
    Code.NOT_ACCEPTABLE: (406, "Not acceptable"),
    Code.PAYLOAD_TOO_LARGE: (413, "Payload too large"),
    Code.UNSUPPORTED_MEDIA_TYPE: (415, "Unsupported media type"),
    Code.USER_ID_INVALID: (422, "Invalid user ID"),
    Code.USER_INVALID: (422, "Invalid user object"),
    Code.PASSWORD_REJECTED: (422, "Password rejected"),
    Code.STREAM_KEY_INVALID: (422, "Invalid Stream key"),
    Code.RATE_LIMITED: (429, "Rate limit exceeded"),
    Code.INTERNAL_ERROR: (500, "Internal error"),
    Code.TEMPORARILY_UNAVAILABLE: (503, "Temporarily unavailable"),
}
"""Status and title of each code."""

_RETRYABLE = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
_BEARER_ERRORS = {
    Code.CREDENTIALS_INVALID: ', error="invalid_token"',
    Code.CREDENTIALS_EXPIRED: ', error="invalid_token", error_description="expired"',
}


class Problems:
    """
    Writer of problem documents.

    Args:
        public_url: URL of the service, without a slash at the end, whose /docs explains each code.
    """

    def __init__(self, public_url: str) -> None:
        self._types = {code: f"{public_url}/docs#{code}" for code in Code}

    def from_refusal(self, refusal: Refusal, request_id: str) -> Response:
        """Return the public part of a refusal."""
        status = status_of(refusal)
        headers = waiting_fields(refusal, status)
        if status == HTTPStatus.UNAUTHORIZED:
            headers.append(("WWW-Authenticate", _challenge(refusal)))
        return self.response(
            refusal.code,
            refusal.detail,
            request_id,
            status=refusal.status,
            members=refusal.members,
            headers=headers,
        )

    def method_not_allowed(self, allowed: Iterable[str], request_id: str) -> Response:
        """Return the problem for a method that the path does not support."""
        methods = ", ".join(sorted(allowed))
        detail = f"The path supports only {methods}."
        return self.response(
            Code.METHOD_NOT_ALLOWED, detail, request_id, headers=[("Allow", methods)]
        )

    def internal_error(self, request_id: str) -> Response:
        """Return the problem for an unexpected exception, without any detail of it."""
        return self.response(
            Code.INTERNAL_ERROR,
            "Internal error. Retry; if it persists, report `request_id`.",
            request_id,
        )

    def response(
        self,
        code: Code,
        detail: str,
        request_id: str,
        *,
        status: int | None = None,
        members: Mapping[str, Any] | None = None,
        headers: Headers = (),
    ) -> Response:
        """Return a problem. `status` replaces the usual status of the code."""
        usual_status, title = STATUS_AND_TITLE[code]
        problem = Problem(
            type=self._types[code],
            title=title,
            status=status or usual_status,
            detail=detail,
            code=code,
            request_id=request_id,
            **(members or {}),
        )
        return Response(problem.status, encode_json(problem), PROBLEM_JSON, headers)


def status_of(refusal: Refusal) -> int:
    """Return the HTTP status of a refusal."""
    return refusal.status or STATUS_AND_TITLE[refusal.code][0]


def waiting_fields(refusal: Refusal, status: int) -> list[tuple[str, str]]:
    """Return the field that says when to retry, if the same request may succeed later."""
    if refusal.retry_after is None and status not in _RETRYABLE:
        return []
    return [("Retry-After", str(refusal.retry_after or RETRY_AFTER))]


def _challenge(refusal: Refusal) -> str:
    """Return the challenge of a 401 (RFC 6750 section 3, RFC 7617, RFC 9470 section 3)."""
    if refusal.code is Code.SIGN_IN_REQUIRED:
        return (
            f'Bearer realm="{REALM}", error="insufficient_user_authentication", '
            f'error_description="sign in again", max_age="{refusal.max_age or 0}"'
        )
    scheme = current_request.get().environ.get("HTTP_AUTHORIZATION", "")[:6].lower()
    if scheme == "basic ":
        return f'Basic realm="{REALM}", charset="UTF-8"'
    return f'Bearer realm="{REALM}"' + _BEARER_ERRORS.get(refusal.code, "")
