"""The lines of an outage."""

import structlog

from testing.manual_clock import ManualClock
from tokensvc.telemetry.outages import QUIET_SECONDS, Outages


def recorded(*responses: tuple[float, int, str]) -> list[tuple[object, ...]]:
    """Return the lines after these responses: seconds since the one before, status, reason."""
    clock = ManualClock(100.0)
    outages = Outages(clock)
    with structlog.testing.capture_logs() as lines:
        for seconds, status, reason in responses:
            clock.now += seconds
            outages.record(status, reason)
    return [(one["event"], one["log_level"], one["cause"], one.get("refused")) for one in lines]


def test_outage_has_one_line_at_its_begin_and_one_at_its_end() -> None:
    """Successes in between do not end it, and no traffic does not either."""
    many = [(0.1, 503, "database: DiskFull"), (0.1, 200, "")] * 50
    assert recorded(*many, (QUIET_SECONDS, 200, "")) == [
        ("outage_began", "warning", "database", None),
        ("outage_ended", "info", "database", 50),
    ]


def test_outage_ends_only_after_a_quiet_time() -> None:
    again = [(QUIET_SECONDS - 1, 503, "hashing")] * 5
    assert recorded(*again, (QUIET_SECONDS - 1, 200, "")) == [
        ("outage_began", "warning", "hashing", None)
    ]


def test_each_cause_is_an_outage_of_its_own() -> None:
    """The queue of hashes, which anyone can fill, does not hide a database that fails."""
    lines = recorded(
        (0, 503, "hashing"),
        (QUIET_SECONDS, 503, "database: ServerSilentError"),
        (1, 503, "database: the breaker is open"),
    )
    assert lines == [
        ("outage_began", "warning", "hashing", None),
        ("outage_ended", "info", "hashing", 1),
        ("outage_began", "warning", "database", None),
    ]


def test_other_responses_are_no_outage() -> None:
    """An internal error has a line of its own; a 503 without a reason is over in a second."""
    assert recorded((0, 500, "database: x"), (0, 401, "expired"), (0, 503, "")) == []
