"""Readiness: the worst result of several checks, from a probe in the background each second."""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

import msgspec
import structlog

from tokensvc.core import deadline
from tokensvc.core.findings import Finding, State
from tokensvc.telemetry import gauges

PROBE_INTERVAL = 1.0
"""Seconds between two probes."""

_PROBE_SECONDS = 2.0
"""Timeout of all checks together."""

_MAX_AGE = 5.0
"""Age in seconds from which a check is too old to count: the next one hangs."""

_log = structlog.get_logger(__name__)


_LEVELS = {State.OK: 0, State.DEGRADED: 1, State.FAILED: 2}


class CheckResult(msgspec.Struct, frozen=True):
    """
    Result of one check.

    Attributes:
        name: Name of the check.
        state: State of the checked part.
        detail: Cause and next step, without secrets.
    """

    name: str
    state: State
    detail: str = ""


Check: TypeAlias = Callable[[], Finding | None]


class Readiness(msgspec.Struct, frozen=True):
    """
    Readiness of the service.

    Attributes:
        status: Worst state of all checks. `failed` is sent with status 503.
        checks: Results of the checks, for operators only.
    """

    status: State
    checks: list[CheckResult] | None = None


class ProbeResult(NamedTuple):
    """
    What a probe has found.

    Attributes:
        service: Readiness of the service.
        instance: The same, where a part that fails for all instances only degrades. A load balancer
            must not remove an instance for it: no other one is better, and then none would respond.
    """

    service: Readiness
    instance: Readiness


_FAILED = Readiness(
    State.FAILED, [CheckResult("readiness", State.FAILED, "the checks have not ended")]
)
_NOT_PROBED = ProbeResult(_FAILED, _FAILED)


class ReadinessProbe:
    """
    The last result of the checks, in memory: `/readyz` responds while everything else waits.

    Args:
        checks: Functions that each check one part, by its name. A check that raises has failed.
        monotonic: Monotonic clock, in seconds.
    """

    def __init__(self, checks: Mapping[str, Check], monotonic: Callable[[], float]) -> None:
        self._checks = checks
        self._monotonic = monotonic
        self._last = (-math.inf, _NOT_PROBED)

    def probe(self) -> None:
        """
        Run the checks, and log each change of a state, at first what is not ok.

        Only one thread may call this.
        """
        deadline.begin(self._monotonic(), _PROBE_SECONDS)
        try:
            findings = {name: _find(check) for name, check in self._checks.items()}
        finally:
            deadline.end()
        results = [result_of(name, finding) for name, finding in findings.items()]
        before = {check.name: check.state for check in self._last[1].service.checks or []}
        for result in results:
            if result.state is not before.get(result.name, State.OK):
                _log_change(result, before.get(result.name, State.OK))
            gauges.set_check(result.name, _LEVELS[result.state])
        own = {_state_of_instance(finding) for finding in findings.values()}
        found = ProbeResult(
            service=Readiness(_worst({result.state for result in results}), results),
            instance=Readiness(_worst(own), results),
        )
        self._last = self._monotonic(), found

    def last(self) -> ProbeResult:
        """Return the result of the last probe, without a wait."""
        probed_at, found = self._last
        return _NOT_PROBED if self._monotonic() - probed_at > _MAX_AGE else found


def result_of(name: str, finding: Finding | None) -> CheckResult:
    """Return the result of a check; without a finding, all is well."""
    state, detail, _ = finding or Finding(State.OK)
    return CheckResult(name, state, detail)


def _find(check: Check) -> Finding:
    try:
        return check() or Finding(State.OK)
    except Exception as error:  # noqa: BLE001 - a check that raises has failed
        return Finding(State.FAILED, f"the check raised {type(error).__name__}")


def _state_of_instance(finding: Finding) -> State:
    is_shared_failure = finding.is_shared and finding.state is State.FAILED
    return State.DEGRADED if is_shared_failure else finding.state


def _worst(states: set[State]) -> State:
    return max(states, key=_LEVELS.__getitem__, default=State.OK)


def _log_change(result: CheckResult, before: State) -> None:
    is_worse = result.state is State.FAILED or before is State.OK
    log = _log.warning if is_worse else _log.info
    log("readiness_changed", check=result.name, state=result.state, detail=result.detail)
