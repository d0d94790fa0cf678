"""The hooks through which the worker of `tokensvc.server` uses the service."""

import os
from http import HTTPStatus

from tokensvc.core import deadline, waiting
from tokensvc.core.errors import Code, Refusal
from tokensvc.http.app import FIELDS_OF_ALL
from tokensvc.http.problems import Problems
from tokensvc.http.respond import Response
from tokensvc.server.hooks import Failure, Hooks
from tokensvc.telemetry import gauges, logging, metrics


def server_hooks(public_url: str) -> Hooks:
    """Return the hooks of a service with this URL."""
    problems = Problems(public_url)
    return Hooks(
        begin_deadline=deadline.begin,
        on_wait=waiting.set_hook,
        refuse=lambda failure: _refuse(problems, failure),
        report_load=gauges.set_worker_load,
    )


def _refuse(problems: Problems, failure: Failure) -> Response:
    request_id = os.urandom(16).hex()
    refusal = _refusal_of(failure)
    if refusal is None:
        code, response = Code.INTERNAL_ERROR, problems.internal_error(request_id)
    else:
        code, response = refusal.code, problems.from_refusal(refusal, request_id)
    metrics.count_request("unmatched", "other", str(response.status), 0.0)
    metrics.count_refusal(code)
    logging.log_request(
        request_id=request_id,
        status=response.status,
        code=code,
        # Only the class of a parse error: its text quotes the request with its credential.
        reason=type(failure.error).__name__,
        client=failure.client,
        **({} if refusal else {"exc_info": failure.error}),
    )
    response.headers += (("X-Request-Id", request_id), *FIELDS_OF_ALL)
    return response


def _refusal_of(failure: Failure) -> Refusal | None:
    """Return the refusal that the client gets; `None` for an internal error."""
    if failure.status is HTTPStatus.INTERNAL_SERVER_ERROR:
        return None
    if failure.status is HTTPStatus.SERVICE_UNAVAILABLE:
        detail = "The service is busy. Retry after `Retry-After`."
        return Refusal(Code.TEMPORARILY_UNAVAILABLE, detail, retry_after=1)
    return Refusal(Code.MALFORMED_REQUEST, failure.detail, status=failure.status)
