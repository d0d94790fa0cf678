"""
The service's metrics, counted through functions and rendered for Prometheus.

A label set is bound to its child once and then found by one dictionary look-up, since
`labels()` costs more than the increment. Labels come from closed sets (routes, configured issuers,
codes): a value that a stranger chooses would make a time series of each of their ideas.

Under gunicorn the variable PROMETHEUS_MULTIPROC_DIR must be set before the first import of this
module (`tokensvc.telemetry.multiprocess.prepare`), because the library looks at it only once.
"""

import os
from collections.abc import Callable
from typing import Generic, TypeVar

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from tokensvc.telemetry.multiprocess import DIRECTORY_VARIABLE, reading

disable_created_metrics()

REQUESTS = Counter(
    "tokensvc_requests", "Requests that were answered.", ["route", "method", "status"]
)
REQUEST_SECONDS = Histogram(
    "tokensvc_request_seconds",
    "Time from the first byte of a request's head to its answer.",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
MINTS = Counter(
    "tokensvc_mints",
    "Stream tokens that were minted, by who vouched for the user and whether the client named "
    "its API key.",
    ["issuer", "key"],
)
REFUSALS = Counter("tokensvc_refusals", "Requests that were refused, by problem code.", ["code"])
AUTH_FAILURES = Counter(
    "tokensvc_auth_failures", "Credentials that were refused, by their kind.", ["credential"]
)
JWKS_FETCHES = Counter(
    "tokensvc_jwks_fetches", "Fetches of identity providers' keys.", ["issuer", "outcome"]
)
LIMITER_FALLBACK = Counter(
    "tokensvc_limiter_fallbacks", "Rate limits counted in memory because Redis failed."
)
STREAM_CALLS = Counter(
    "tokensvc_stream_calls",
    "Calls that bring cut-offs and profiles over to Stream, by what came of them.",
    ["kind", "result"],
)

_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})

_Child = TypeVar("_Child", Counter, Histogram)


class _Bound(dict[tuple[str, ...], _Child], Generic[_Child]):
    """The children of one metric by their label values."""

    def __init__(self, child_of: Callable[..., _Child]) -> None:
        super().__init__()
        self._child_of: Callable[..., _Child] = child_of

    def __missing__(self, values: tuple[str, ...]) -> _Child:
        child: _Child = self._child_of(*values)
        self[values] = child
        return child


_requests = _Bound(REQUESTS.labels)
_request_seconds = _Bound(REQUEST_SECONDS.labels)
_mints = _Bound(MINTS.labels)
_refusals = _Bound(REFUSALS.labels)
_auth_failures = _Bound(AUTH_FAILURES.labels)
_jwks_fetches = _Bound(JWKS_FETCHES.labels)
_stream_calls = _Bound(STREAM_CALLS.labels)


def count_request(route: str, method: str, status: str, seconds: float) -> None:
    """
    Count an answered request.

    Args:
        route: The rule of the URL map, or one word for everything outside it.
        method: As it came; one that no route has is counted as `other`.
        status: The three digits.
        seconds: How long it took.
    """
    _requests[route, method if method in _METHODS else "other", status].inc()
    _request_seconds[(route,)].observe(seconds)


def count_mint(issuer: str, *, named: bool) -> None:
    """
    Count a minted token.

    Args:
        issuer: The configured name of the user's issuer, or `service`.
        named: Whether the request named its `api_key`: one that did not breaks the client
            when the active key changes.
    """
    _mints[issuer, "named" if named else "unnamed"].inc()


def count_refusal(code: str) -> None:
    """Count a refusal by its problem code."""
    _refusals[(code,)].inc()


def count_auth_failure(credential: str) -> None:
    """Count a refused credential: `bearer` or `basic`."""
    _auth_failures[(credential,)].inc()


def count_jwks_fetch(issuer: str, outcome: str) -> None:
    """Count a fetch of an issuer's keys, by the issuer's configured name: `ok` or `failed`."""
    _jwks_fetches[issuer, outcome].inc()


def count_stream_call(kind: str, result: str) -> None:
    """Count a call for deliveries of a kind (`app`, `user`, `profile`) by its result."""
    _stream_calls[kind, result].inc()


def count_limiter_fallback() -> None:
    """Count a rate limit that was counted in memory because Redis failed."""
    LIMITER_FALLBACK.inc()


def render() -> tuple[bytes, str]:
    """Give all metrics, of every worker, and their content type."""
    directory = os.environ.get(DIRECTORY_VARIABLE)
    if directory is None:
        return generate_latest(REGISTRY), CONTENT_TYPE_LATEST
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=directory)
    with reading(directory):
        return generate_latest(registry), CONTENT_TYPE_LATEST
