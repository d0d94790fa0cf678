"""
What readiness means here: the database, its schema, a key that signs.

Issuers and the delivery to Stream only degrade: most users get their tokens without them.
"""

from collections.abc import Sequence

from tokensvc.core.errors import Refusal
from tokensvc.database import schema
from tokensvc.database.engine import Database
from tokensvc.delivery.service import Deliveries
from tokensvc.issuers.service import Issuers
from tokensvc.keys.service import StreamKeys
from tokensvc.ops.health import Check, CheckResult, State


def checks(
    database: Database, keys: StreamKeys, issuers: Issuers, deliveries: Deliveries
) -> Sequence[Check]:
    """Give the checks of `/readyz`."""

    def check_database() -> CheckResult:
        try:
            found = schema.status(database)
        except Refusal as refusal:
            return CheckResult("database", State.FAILED, refusal.reason)
        if found in {"behind", "empty"}:
            return CheckResult("database", State.FAILED, f"schema {found}: run `tokensvc migrate`")
        return CheckResult("database", State.OK)

    def check_stream_keys() -> CheckResult:
        try:
            usable = keys.has_active()
        except Refusal as refusal:
            return CheckResult("stream_keys", State.FAILED, refusal.reason)
        if not usable:
            return CheckResult("stream_keys", State.FAILED, "no usable key is active")
        return CheckResult("stream_keys", State.OK)

    def check_issuers() -> CheckResult:
        bad = [
            f"{name} {health.state} ({health.last_error or 'no keys yet'})"
            for name, health in issuers.health().items()
            if health.state != "ok"
        ]
        return CheckResult("issuers", State.DEGRADED if bad else State.OK, "; ".join(bad))

    def check_deliveries() -> CheckResult:
        return check_delivery(deliveries)

    return [
        check_database,
        check_stream_keys,
        check_issuers,
        check_deliveries,
    ]


def check_delivery(deliveries: Deliveries) -> CheckResult:
    """Look for what Stream has not been told."""
    if not deliveries.delivers:
        return CheckResult(
            "delivery", State.OK, "off (stream.delivery): Stream is told of no revocation"
        )
    try:
        warnings = deliveries.warnings()
    except Refusal as refusal:
        return CheckResult("delivery", State.DEGRADED, refusal.reason)
    detail = "; ".join(warnings) + ": tokensvc delivery list" if warnings else ""
    return CheckResult("delivery", State.DEGRADED if warnings else State.OK, detail)
