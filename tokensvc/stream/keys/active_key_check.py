"""Check in the background whether Stream accepts the active key, and the settings of its app."""

import threading
from collections.abc import Callable, Mapping
from typing import NamedTuple

import structlog

from tokensvc.core.findings import Finding, State
from tokensvc.stream import app
from tokensvc.stream.keys.rules import StreamKey
from tokensvc.stream.keys.service import StreamKeys
from tokensvc.stream.keys.verification import CheckKey
from tokensvc.stream.responses import KeyCheck, StreamUnavailableError
from tokensvc.telemetry import gauges

CHECK_SECONDS = 3600.0
"""Seconds between two checks of a key that Stream accepts, and between two logs of a refusal."""

_HINT = (
    "clients cannot connect: add the right Stream key with `tokensvc stream-keys add` and "
    "activate it"
)

_log = structlog.get_logger(__name__)


class _Result(NamedTuple):
    """
    The result of a check.

    Attributes:
        app_findings: What the settings of the app show, from the last check that had them.
    """

    key: StreamKey
    check: KeyCheck
    app_findings: Mapping[str, Finding]

    @property
    def is_good(self) -> bool:
        """Whether users can connect, and nobody else."""
        failed = any(found.state is State.FAILED for found in self.app_findings.values())
        return self.check.accepted and not failed


class ActiveKeyCheck:
    """
    Checks the active key at the start, hourly, after it has changed, after Stream has refused a
    call, and at each step while Stream refuses the key or verifies no token.

    Minting goes on: Stream may be wrong about a key, and clients notice no missing verification.

    Args:
        check_key: Function that asks Stream about a key; `None` if delivery is off.
        read_floor: Function that returns the highest cut-off of all users ever set here.
        monotonic: Function that returns seconds of a monotonic clock.

    Attributes:
        wake_up: Event that ends the pause before the next step.
    """

    def __init__(
        self,
        keys: StreamKeys,
        check_key: CheckKey | None,
        read_floor: Callable[[], int],
        monotonic: Callable[[], float],
    ) -> None:
        self._keys = keys
        self._check_key = check_key
        self._read_floor = read_floor
        self._monotonic = monotonic
        self._result: _Result | None = None
        self._due_at = 0.0
        self._was_refused = False
        self.wake_up = threading.Event()

    def key_refused(self) -> None:
        """Check the active key now, because Stream has refused a key in another call."""
        # One check is enough: while it has no result, or a bad one, each step repeats it.
        if not self._was_refused and not self.rejection():
            self._was_refused = True
            self.wake_up.set()

    def step(self) -> None:
        """Check the active key if that is due, again in the next step if Stream is silent."""
        if self._check_key is None:
            return
        key, previous = self._keys.current_ring().active, self._result
        if key is None:
            return
        now = self._monotonic()
        was_refused = self._was_refused
        is_due = was_refused or previous is None or previous.key != key or now >= self._due_at
        if previous and previous.is_good and not is_due:
            return
        self._was_refused = False  # before the call: a refusal during it leads to another check
        try:
            check = self._check_key(key)
        except StreamUnavailableError:
            self._was_refused |= was_refused
            return
        before = previous.app_findings if previous else {}
        findings = before if check.app is None else app.find(check.app, self._read_floor())
        self._result = _Result(key, check, findings)
        gauges.set_stream_key_accepted(accepted=check.accepted)
        if check.app is not None:
            gauges.set_stream_app({name: name in findings for name in app.FINDING_NAMES})
        if is_due or check.accepted:
            self._due_at = now + CHECK_SECONDS
            _report(self._result, previous)
        _report_app(findings, before)

    def rejection(self) -> Finding | None:
        """Return Stream's message and what to do, if Stream rejects the active key."""
        result = self._result
        if result is None or result.check.accepted or result.key != self._keys.active:
            return None
        name, message = result.key.api_key, result.check.detail
        detail = f"Stream rejects the active key {name} ({message}): {_HINT}"
        return Finding(State.DEGRADED, detail)

    def app_finding(self) -> Finding | None:
        """Return what the settings of the app show. Mints go on, so the service is not failed."""
        findings = self._result.app_findings if self._result else {}
        if not findings:
            return None
        failed = any(found.state is State.FAILED for found in findings.values())
        state = State.DEGRADED if failed else State.OK
        return Finding(state, "; ".join(found.detail for found in findings.values()))


def _report(result: _Result, previous: _Result | None) -> None:
    """Log that Stream refuses a key, or accepts one again."""
    key, check = result.key, result.check
    name = {"api_key": key.api_key, "fingerprint": key.fingerprint}
    if not check.accepted:
        _log.warning("stream_key_refused", **name, detail=check.detail, hint=_HINT)
    elif previous is not None and not previous.check.accepted:
        _log.info("stream_key_accepted", **name)


def _report_app(findings: Mapping[str, Finding], before: Mapping[str, Finding]) -> None:
    """Log what the settings of the app show that they did not show before, and what has ended."""
    logs = {State.FAILED: _log.error, State.DEGRADED: _log.warning, State.OK: _log.info}
    for name, found in findings.items():
        if name not in before:
            logs[found.state]("stream_app_finding_began", finding=name, detail=found.detail)
    for name in before.keys() - findings.keys():
        _log.info("stream_app_finding_ended", finding=name)
