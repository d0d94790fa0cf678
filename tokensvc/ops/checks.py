"""
The checks of `/readyz`: the database, its schema, an active key of each ring.

Failing issuers and deliveries only degrade the service: most users get tokens without them. So does
an active key that Stream refuses, because Stream may be wrong.
"""

from collections.abc import Mapping
from functools import partial

from tokensvc.core.errors import Refusal
from tokensvc.core.findings import Finding, State
from tokensvc.database import schema
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database
from tokensvc.issuers.service import Issuers
from tokensvc.ops.health import Check
from tokensvc.revocations.clock_faults import ClockFaults
from tokensvc.sessions.access_tokens.signing_keys import SigningKeys
from tokensvc.stream.delivery.service import Deliveries
from tokensvc.stream.keys.active_key_check import ActiveKeyCheck
from tokensvc.stream.keys.service import StreamKeys
from tokensvc.telemetry import gauges

CLOCK_TOLERANCE = 5.0
"""Seconds by which two clocks may differ."""


def checks(
    *,
    database: Database,
    keys: StreamKeys,
    signing_keys: SigningKeys | None,
    issuers: Issuers,
    deliveries: Deliveries,
    clock_faults: ClockFaults,
    active_key_check: ActiveKeyCheck,
) -> Mapping[str, Check]:
    """
    Return the checks of `/readyz` by the names of their parts.

    Args:
        signing_keys: Keys of access tokens; `None` without built-in accounts.
    """
    check_keys: dict[str, Check] = {
        "stream_keys": partial(_check_stream_keys, keys, active_key_check.rejection)
    }
    if signing_keys is not None:
        check_keys["signing_keys"] = partial(_found, signing_keys.problem)
    return {
        "database": partial(_check_database, database),
        "database_servers": partial(_check_servers, database),
        **check_keys,
        "stream_app": active_key_check.app_finding,
        "issuers": partial(_check_issuers, issuers),
        "delivery": partial(check_delivery, deliveries),
        "database_clock": partial(_check_database_clock, clock_faults.database_clock),
        # Only degraded: revocations still work, and another instance would not be better.
        "cut_offs": partial(check_clock_faults, clock_faults, State.DEGRADED),
    }


def delivery_checks(
    *,
    database: Database,
    keys: StreamKeys,
    deliveries: Deliveries,
    clock_faults: ClockFaults,
    active_key_check: ActiveKeyCheck,
) -> Mapping[str, Check]:
    """Return the checks of a process that only delivers: its key is checked with each delivery."""
    return {
        "database": partial(_check_database, database),
        "database_servers": partial(_check_servers, database),
        "stream_keys": partial(_check_stream_keys, keys, lambda: None),
        "stream_app": active_key_check.app_finding,
        "delivery": partial(check_delivery, deliveries),
        "database_clock": partial(_check_database_clock, clock_faults.database_clock),
        "cut_offs": partial(check_clock_faults, clock_faults, State.DEGRADED),
    }


def _check_database(database: Database) -> Finding | None:
    finding = _found(lambda: _check_schema(database))
    gauges.set_database(
        up=finding is None,
        breaker_open=database.is_breaker_open,
        connections_in_use=database.connections_in_use(),
    )
    return finding


def _check_schema(database: Database) -> Finding | None:
    status = schema.read_status(database)
    if status not in {"behind", "empty"}:
        return None
    return Finding(State.FAILED, f"schema {status}: run `tokensvc migrate`")


def _check_servers(database: Database) -> Finding | None:
    """Check that one server accepts writes. Only degraded: the newest one may be in use."""
    problem = database.two_primaries
    return Finding(State.DEGRADED, problem) if problem is not None else None


def _check_database_clock(database_clock: DatabaseClock) -> Finding | None:
    """
    Compare this host's clock with the database's.

    This host's judges the tokens of providers, the database's dates Stream tokens and actions.
    """
    try:
        ahead = database_clock.host_ahead()
    except Refusal as refusal:
        return Finding(State.DEGRADED, refusal.reason)
    gauges.set_clock_ahead(ahead)
    difference = clock_difference(ahead)
    hint = ". `tokensvc doctor` names the clock that differs from Stream's"
    return Finding(State.DEGRADED, difference + hint) if difference is not None else None


def clock_difference(ahead: float) -> str | None:
    """Return how the clock of this host differs from the database's; `None` up to 5 s."""
    if abs(ahead) <= CLOCK_TOLERANCE:
        return None
    direction = "ahead of" if ahead > 0 else "behind"
    return f"this host's clock is {abs(ahead):.0f} s {direction} the database's"


def _check_stream_keys(keys: StreamKeys, rejection_of_active: Check) -> Finding | None:
    return _found(keys.problem) or rejection_of_active()


def _check_issuers(issuers: Issuers) -> Finding | None:
    unhealthy = [
        f"{name} {health.state} ({health.last_error or 'no keys yet'})"
        for name, health in issuers.health().items()
        if health.state != "ok"
    ]
    return Finding(State.DEGRADED, "; ".join(unhealthy)) if unhealthy else None


def check_clock_faults(clock_faults: ClockFaults, state_of_fault: State) -> Finding | None:
    """Check that no cut-off is in the future, which stops the mints of its users."""
    finding = _found(clock_faults.warning)
    return finding and finding._replace(state=state_of_fault)


def check_delivery(deliveries: Deliveries) -> Finding | None:
    """Check the deliveries to Stream."""
    if not deliveries.is_delivery_on:
        return Finding(State.OK, "off (stream.delivery): no revocation is delivered to Stream")
    try:
        warnings = deliveries.warnings()
    except Refusal as refusal:
        return Finding(State.DEGRADED, refusal.reason)
    detail = "; ".join(warnings) + ": tokensvc delivery list"
    return Finding(State.DEGRADED, detail) if warnings else None


def _found(check: Check) -> Finding | None:
    """Run a check that has failed if the database does not respond."""
    try:
        return check()
    except Refusal as refusal:
        return Finding(State.FAILED, refusal.reason, is_shared=True)
