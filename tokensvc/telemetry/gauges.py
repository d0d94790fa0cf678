"""
The figures that can also fall, such as states and ages.

Each has a label: one without would begin with 0 in each process. What each worker has for itself
has the label `worker`. What all workers of an instance find, such as the age of an issuer's keys,
is shown as the worst of them.
"""

from collections.abc import Mapping
from typing import Final

from prometheus_client import Gauge

from tokensvc import __version__
from tokensvc.telemetry import metrics
from tokensvc.telemetry.multiprocess import slot

# `metrics` is imported first: it decides where this process counts.
_WORST_IS_HIGHEST: Final = "livemax"
_WORST_IS_LOWEST: Final = "livemin"
_SUM: Final = "livesum"

THREADS_BUSY = Gauge(
    "tokensvc_threads_busy",
    "Threads that run a request, by worker, at most one second ago.",
    ["worker"],
    multiprocess_mode=_SUM,
)
CONNECTIONS_OPEN = Gauge(
    "tokensvc_connections_open",
    "Open client connections, by worker, at most one second ago.",
    ["worker"],
    multiprocess_mode=_SUM,
)
DATABASE_UP = Gauge(
    "tokensvc_database_up",
    "Whether the database was usable, by worker, at most one second ago.",
    ["worker"],
    multiprocess_mode=_SUM,
)
DATABASE_BREAKER_OPEN = Gauge(
    "tokensvc_database_breaker_open",
    "Whether requests are refused because the database does not respond, by worker.",
    ["worker"],
    multiprocess_mode=_SUM,
)
DATABASE_CONNECTIONS_IN_USE = Gauge(
    "tokensvc_database_connections_in_use",
    "Connections of the pool that are in use, by worker, at most one second ago.",
    ["worker"],
    multiprocess_mode=_SUM,
)
CLOCK_AHEAD_SECONDS = Gauge(
    "tokensvc_clock_ahead_seconds",
    "Time by which this host's clock is ahead of the database's, negative if behind; by worker.",
    ["worker"],
    multiprocess_mode=_SUM,
)
CHECK = Gauge(
    "tokensvc_check",
    "State of each part of `/readyz`: 0 ok, 1 degraded, 2 failed.",
    ["check"],
    multiprocess_mode=_WORST_IS_HIGHEST,
)
LOOP_DUE = Gauge(
    "tokensvc_loop_due_timestamp_seconds",
    "Time at which the next step of a background loop is due, in epoch seconds.",
    ["loop"],
    multiprocess_mode=_WORST_IS_LOWEST,
)
LOOP_FAILING = Gauge(
    "tokensvc_loop_failing",
    "Whether the last step of a background loop failed: 1 or 0.",
    ["loop"],
    multiprocess_mode=_WORST_IS_HIGHEST,
)
STREAM_KEY_ACCEPTED = Gauge(
    "tokensvc_stream_key_accepted",
    "Whether Stream accepted the active key at the latest check: 1 or 0. Absent before the first.",
    ["key"],
    multiprocess_mode="mostrecent",
)
STREAM_APP = Gauge(
    "tokensvc_stream_app",
    "Whether the settings of the Stream app showed a finding at the latest check: 1 or 0. Absent "
    "before the first.",
    ["finding"],
    multiprocess_mode="mostrecent",
)
DELIVERIES = Gauge(
    "tokensvc_deliveries",
    "Deliveries to Stream that are not complete, by kind and state, counted up to 10,000.",
    ["kind", "state"],
    multiprocess_mode=_WORST_IS_HIGHEST,
)
DELIVERY_OLDEST_SECONDS = Gauge(
    "tokensvc_delivery_oldest_seconds",
    "Time for which the oldest delivery that Stream does not have has been pending or failed.",
    ["kind"],
    multiprocess_mode=_WORST_IS_HIGHEST,
)
ISSUER_KEYS_USABLE = Gauge(
    "tokensvc_issuer_keys_usable",
    "Whether there are keys to verify the tokens of an issuer: 1 or 0.",
    ["issuer"],
    multiprocess_mode=_WORST_IS_LOWEST,
)
ISSUER_KEYS_AGE_SECONDS = Gauge(
    "tokensvc_issuer_keys_age_seconds",
    "Time since the keys of an issuer were fetched. Absent for keys from a file.",
    ["issuer"],
    multiprocess_mode=_WORST_IS_HIGHEST,
)
ISSUER_KEYS_MAX_STALE_SECONDS = Gauge(
    "tokensvc_issuer_keys_max_stale_seconds",
    "Age from which the keys of an issuer are not used: the setting `jwks.max_stale`.",
    ["issuer"],
    multiprocess_mode=_WORST_IS_HIGHEST,
)
ISSUER_KEYS_REFRESH_SECONDS = Gauge(
    "tokensvc_issuer_keys_refresh_seconds",
    "Time between two fetches of the keys of an issuer: the setting `jwks.refresh`.",
    ["issuer"],
    multiprocess_mode=_WORST_IS_HIGHEST,
)
KEYS = Gauge(
    "tokensvc_keys",
    "Keys of the rings `stream` and `signing` by state, without retired ones.",
    ["ring", "state"],
    multiprocess_mode=_WORST_IS_HIGHEST,
)
KEY_AGE_SECONDS = Gauge(
    "tokensvc_key_age_seconds",
    "Time since the oldest key in a state was activated, or added if it was never active.",
    ["ring", "state"],
    multiprocess_mode=_WORST_IS_HIGHEST,
)
SECRET_SECONDS_LEFT = Gauge(
    "tokensvc_secret_seconds_left",
    "Time until a service client has no valid secret, for the first client; +Inf if none ends.",
    ["secret"],
    multiprocess_mode=_WORST_IS_LOWEST,
)
ENCRYPTION_KEY_IN_USE = Gauge(
    "tokensvc_encryption_key_in_use",
    "Whether stored secrets are encrypted with a key, by its fingerprint: 1 or 0.",
    ["fingerprint"],
    multiprocess_mode=_WORST_IS_HIGHEST,
)
ENCRYPTION_KEY_MISSING = Gauge(
    "tokensvc_encryption_key_missing",
    "Whether stored secrets need an encryption key that is not in the settings: 1 or 0.",
    ["fingerprint"],
    multiprocess_mode=_WORST_IS_HIGHEST,
)
BUILD_INFO = Gauge(
    "tokensvc_build_info",
    "Version of the service. Always 1.",
    ["version"],
    multiprocess_mode=_WORST_IS_HIGHEST,
)


def set_worker_load(threads_busy: int, connections_open: int) -> None:
    """Set how many threads of this worker run a request, and its number of connections."""
    worker = _worker()
    THREADS_BUSY.labels(worker).set(threads_busy)
    CONNECTIONS_OPEN.labels(worker).set(connections_open)


def set_database(*, up: bool, breaker_open: bool, connections_in_use: int) -> None:
    """Set what this worker's look at the database has found."""
    worker = _worker()
    DATABASE_UP.labels(worker).set(up)
    DATABASE_BREAKER_OPEN.labels(worker).set(breaker_open)
    DATABASE_CONNECTIONS_IN_USE.labels(worker).set(connections_in_use)


def set_clock_ahead(seconds: float) -> None:
    """Set by how many seconds this host's clock is ahead of the database's."""
    CLOCK_AHEAD_SECONDS.labels(_worker()).set(seconds)


def set_check(name: str, level: int) -> None:
    """Set the state of a part of `/readyz`: 0 ok, 1 degraded, 2 failed."""
    CHECK.labels(name).set(level)


def set_loop(name: str, *, due_at: float, failing: bool) -> None:
    """
    Set the state of a background loop.

    Args:
        due_at: Time of its next step, in epoch seconds.
        failing: Whether its last step failed.
    """
    LOOP_DUE.labels(name).set(due_at)
    LOOP_FAILING.labels(name).set(failing)


def set_stream_key_accepted(*, accepted: bool) -> None:
    """Record whether Stream accepts the active key."""
    STREAM_KEY_ACCEPTED.labels("active").set(int(accepted))


def set_stream_app(findings: Mapping[str, bool]) -> None:
    """Set whether the settings of the Stream app show each finding."""
    for name, applies in findings.items():
        STREAM_APP.labels(name).set(int(applies))


def set_deliveries(kind: str, numbers: Mapping[str, int], oldest_seconds: float) -> None:
    """
    Set the deliveries of a kind that are not complete.

    Args:
        numbers: Number by state.
        oldest_seconds: Age of the oldest that Stream does not have; 0 without one.
    """
    for state, number in numbers.items():
        DELIVERIES.labels(kind, state).set(number)
    DELIVERY_OLDEST_SECONDS.labels(kind).set(oldest_seconds)


def set_issuer_keys(
    issuer: str,
    *,
    usable: bool,
    age_seconds: float | None,
    max_stale_seconds: float,
    refresh_seconds: float,
) -> None:
    """
    Set the state of an issuer's keys.

    Args:
        issuer: Configured name.
        usable: Whether tokens can be verified.
        age_seconds: Time since the last fetch; `None` if there was none.
        max_stale_seconds: Age from which keys are not used.
        refresh_seconds: Time between two fetches.
    """
    ISSUER_KEYS_USABLE.labels(issuer).set(usable)
    if age_seconds is not None:
        ISSUER_KEYS_AGE_SECONDS.labels(issuer).set(age_seconds)
        ISSUER_KEYS_MAX_STALE_SECONDS.labels(issuer).set(max_stale_seconds)
        ISSUER_KEYS_REFRESH_SECONDS.labels(issuer).set(refresh_seconds)


def set_keys(ring: str, state: str, number: int, oldest_seconds: float) -> None:
    """
    Set the keys of a ring that are in a state.

    Args:
        oldest_seconds: Time since the oldest was activated or added; 0 without one.
    """
    KEYS.labels(ring, state).set(number)
    KEY_AGE_SECONDS.labels(ring, state).set(oldest_seconds)


def set_client_secret_seconds_left(seconds: float) -> None:
    """Set the time until the first service client has no valid secret; infinity if none ends."""
    SECRET_SECONDS_LEFT.labels("client").set(seconds)


def set_encryption_key(fingerprint: str, *, in_use: bool, missing: bool) -> None:
    """
    Set the use of an encryption key.

    Args:
        in_use: Whether stored secrets are encrypted with it.
        missing: Whether they are, and this process does not have it.
    """
    ENCRYPTION_KEY_IN_USE.labels(fingerprint).set(in_use)
    ENCRYPTION_KEY_MISSING.labels(fingerprint).set(missing)


def set_build_info() -> None:
    """Set the version of this process."""
    BUILD_INFO.labels(__version__).set(1)


def _worker() -> str:
    return str(slot()) if metrics.is_multiprocess() else "0"
