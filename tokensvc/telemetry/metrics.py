"""
The service's counters and histograms, counted through functions, and the rendering of all metrics.

`gauges` has the figures that can also fall.

A label set is bound to its child once and then found by one dictionary look-up, because `labels()`
costs more than the increment. Labels come from closed sets (routes, configured issuers, codes): a
value that a client chooses would let it create any number of time series.

Under gunicorn `tokensvc.telemetry.multiprocess.prepare` must run before the first import of this
module, because a metric chooses its storage when it is defined.
"""

import os
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
    values,
)
from prometheus_client.multiprocess import MultiProcessCollector

from tokensvc.telemetry.multiprocess import (
    DIRECTORY_VARIABLE,
    remove_gauges_of_ended_processes,
    slot,
)

if DIRECTORY_VARIABLE in os.environ:
    values.ValueClass = values.MultiProcessValue(slot)
disable_created_metrics()

REQUESTS = Counter(
    "tokensvc_requests", "Requests and their responses.", ["route", "method", "status"]
)
REQUEST_SECONDS = Histogram(
    "tokensvc_request_seconds",
    "Time from the start of a request in a thread to its response.",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
MINTS = Counter(
    "tokensvc_mints",
    "Minted Stream tokens by issuer, and by whether the client named its API key.",
    ["issuer", "key"],
)
REFUSALS = Counter("tokensvc_refusals", "Refused requests by problem code.", ["code"])
AUTH_FAILURES = Counter("tokensvc_auth_failures", "Refused credentials by kind.", ["credential"])
SIGN_INS = Counter("tokensvc_sign_ins", "Sign-ins with a password, by result.", ["result"])
LIMITS_HIT = Counter("tokensvc_limits_hit", "Requests beyond a rate limit, by policy.", ["policy"])
JWKS_FETCHES = Counter(
    "tokensvc_jwks_fetches",
    "Fetches of identity providers' keys by issuer and outcome.",
    ["issuer", "outcome"],
)
ACTIONS = Counter(
    "tokensvc_actions",
    "Audited actions of this process by kind and outcome, and refreshes that rotate, audited or "
    "not. Those of commands are not counted.",
    ["action", "outcome"],
)
LOG_LINES_DROPPED = Counter(
    "tokensvc_log_lines_dropped", "Log lines dropped because nothing reads the log."
)
LIMITER_FALLBACK = Counter(
    "tokensvc_limiter_fallbacks", "Rate limits counted in memory because Redis failed."
)
STREAM_CALLS = Counter(
    "tokensvc_stream_calls",
    "Calls that deliver cut-offs, profiles, hints, removals of devices and erasures to Stream, by "
    "result.",
    ["kind", "result"],
)

DATABASE_POOL_SECONDS = Histogram(
    "tokensvc_database_pool_seconds",
    "Time to get a connection from the pool, or to open one.",
    buckets=(0.001, 0.005, 0.025, 0.1, 0.5, 1, 2.5),
)

METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
"""Methods that a route has."""

_Child = TypeVar("_Child", Counter, Histogram)


class _Bound(dict[tuple[str, ...], _Child], Generic[_Child]):
    """Children of one metric by their label values."""

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
_sign_ins = _Bound(SIGN_INS.labels)
_limits_hit = _Bound(LIMITS_HIT.labels)
_jwks_fetches = _Bound(JWKS_FETCHES.labels)
_stream_calls = _Bound(STREAM_CALLS.labels)
_actions = _Bound(ACTIONS.labels)


def count_request(route: str, method: str, status: str, seconds: float) -> None:
    """
    Count a request and its response.

    Args:
        route: Rule of the URL map, or one word for all other paths.
        method: HTTP method. Methods that no route has are counted as `other`.
        status: Three digits.
        seconds: Duration.
    """
    _requests[route, method if method in METHODS else "other", status].inc()
    _request_seconds[(route,)].observe(seconds)


def count_mint(issuer: str, *, named: bool) -> None:
    """
    Count a minted token.

    Args:
        issuer: Configured name of the user's issuer, or `service`.
        named: Whether the request named its `api_key`. Clients that do not name it fail when the
            active key changes.
    """
    _mints[issuer, "named" if named else "unnamed"].inc()


def count_refusal(code: str) -> None:
    """Count a refusal by its problem code."""
    _refusals[(code,)].inc()


def count_auth_failure(credential: str) -> None:
    """Count a refused credential: `bearer`, `basic`, `refresh`, or a provider's `event`."""
    _auth_failures[(credential,)].inc()


def count_sign_in(result: str) -> None:
    """Count a sign-in with a password: `ok`, `refused`, `delayed` or `unavailable`."""
    _sign_ins[(result,)].inc()


def count_limit_hit(policy: str) -> None:
    """Count a request beyond a rate limit by its policy."""
    _limits_hit[(policy,)].inc()


def count_jwks_fetch(issuer: str, outcome: str) -> None:
    """Count a fetch of the keys of a configured issuer by its outcome, `ok` or `failed`."""
    _jwks_fetches[issuer, outcome].inc()


def count_stream_call(kind: str, result: str) -> None:
    """Count a call to Stream by kind of delivery and result."""
    _stream_calls[kind, result].inc()


def count_action(action: str, outcome: str) -> None:
    """Count an audited action by its name and its outcome, `ok` or `refused`."""
    _actions[action, outcome].inc()


def count_dropped_log_line() -> None:
    """Count a log line that was dropped because nothing reads the log."""
    LOG_LINES_DROPPED.inc()


def count_limiter_fallback() -> None:
    """Count a rate limit that was counted in memory because Redis failed."""
    LIMITER_FALLBACK.inc()


def observe_pool(seconds: float) -> None:
    """Record the time that it took to get a database connection."""
    DATABASE_POOL_SECONDS.observe(seconds)


def is_multiprocess() -> bool:
    """Return whether this process counts in files, as gunicorn's workers do."""
    return DIRECTORY_VARIABLE in os.environ


def render() -> tuple[bytes, str]:
    """Return the metrics of all workers and their content type."""
    directory = os.environ.get(DIRECTORY_VARIABLE)
    registry = REGISTRY
    if directory is not None:
        remove_gauges_of_ended_processes()
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=directory)
    return generate_latest(registry), CONTENT_TYPE_LATEST
