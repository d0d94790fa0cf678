"""
A sign-in directly after a revocation works, at any time of a second.

At many offsets within a second, users who have a token are revoked and immediately sign in again,
as often as the service asks them to. They sign in with a provider whose clock may be ahead, with
one whose clock may not, with a backend that confirms sign-ins itself, and with an account of the
service; and after they signed out at the provider. Stream must accept the new token immediately.
Until then only 503 with `Retry-After` is allowed, or `sign_in_required` while the sign-in is not
after the cut-off. This must end, and Stream must refuse the old token. After a renewal the same
holds with the old sign-in, which is never refused. Any request is repeated while the service is
busy or has no database, as its callers do: a disk may stand still for seconds.
"""

import math
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from testing.doubles.stream_calls import connects
from testing.response import Response
from testing.runs.fleet import (
    CLOCK_AHEAD,
    EXACT_PROVIDER,
    PROVIDER,
    REVOKED,
    Connection,
    Fleet,
    outcome,
    running_fleet,
)

OFFSETS = 100
BACKEND, ACCOUNT = "backend", "account"
LOGOUT, RENEWAL = "provider, after its logout", "provider, after a renewal"
SIGN_INS = (PROVIDER, EXACT_PROVIDER, BACKEND, ACCOUNT, LOGOUT, RENEWAL)
"""The kinds of sign-in, the last two after another action than a revocation."""
_CONCURRENT = 10
"""Number of offsets at the same time, evenly distributed over the second."""
_MAX_REQUESTS = 4
"""Requests until there is a token: a sign-in too early, one late enough, and a second to wait."""


@dataclass
class Figures:
    """
    Figures of one database.

    Attributes:
        outcomes: Number of responses after a revocation, by kind of sign-in and code.
        finished: Number of trials that compared all their tokens with Stream, by kind of sign-in.
        failures: Descriptions of what must not happen.
    """

    database: str
    offsets: int
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    finished: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def holds(self) -> bool:
        """Whether every user got a new token, every trial finished, and nothing failed."""
        all_finished = all(
            self.outcomes[kind, "minted"] == self.finished[kind] == self.offsets
            for kind in SIGN_INS
        )
        return all_finished and self.offsets > 0 and not self.failures

    def lines(self) -> Iterator[str]:
        """Yield the figures as text."""
        yield f"{self.database}: {self.offsets} revocations, one at each offset of a second"
        for kind in SIGN_INS:
            counts = [
                f"{code} {count}"
                for (counted, code), count in sorted(self.outcomes.items())
                if counted == kind
            ]
            yield f"  {kind}: {', '.join(counts)}; compared with Stream {self.finished[kind]}"
        yield f"  failures: {len(self.failures)}"
        yield from (f"    {failure}" for failure in self.failures[:5])

    def add_outcome(self, kind: str, code: str) -> None:
        with self._lock:
            self.outcomes[kind, code] += 1

    def finish(self, kind: str) -> None:
        with self._lock:
            self.finished[kind] += 1

    def add_failure(self, failure: str) -> None:
        with self._lock:
            self.failures.append(failure)


def prove(database: str, *, offsets: int = OFFSETS) -> Figures:
    """
    Revoke users and let them sign in again.

    Args:
        database: `sqlite` for one instance of two workers, `postgresql` for two.
        offsets: Number of parts of a second.
    """
    figures = Figures(database, offsets)
    rounds = math.ceil(offsets / _CONCURRENT)
    concurrent = min(offsets, _CONCURRENT)
    with running_fleet(database, connections=len(SIGN_INS) * concurrent) as fleet:
        connections = [
            item for together in zip(*fleet.connections, strict=True) for item in together
        ]
        for first in range(rounds):
            users = [
                (number, kind) for number in range(first, offsets, rounds) for kind in SIGN_INS
            ]
            trials = [
                threading.Thread(target=_Trial(fleet, figures, connection, number, kind).run)
                for connection, (number, kind) in zip(connections, users, strict=False)
            ]
            for trial in trials:
                trial.start()
            for trial in trials:
                trial.join()
    return figures


@dataclass
class _Trial:
    """A user who is revoked at one offset and signs in again until there is a token."""

    fleet: Fleet
    figures: Figures
    connection: Connection
    number: int
    kind: str

    def run(self) -> None:
        """Run the trial. An exception is a failure, because it would only end the thread."""
        try:
            self._run()
        except Exception as error:  # noqa: BLE001 - any exception means that nothing is shown
            self._add_failure(f"broke: {error!r}")

    def _run(self) -> None:
        self.fleet.create_stream_user(self._user_id)
        old = self._mint(int(time.time()) - 3600).json["token"]
        _sleep_until(math.floor(time.time()) + 1 + self.number / self.figures.offsets)
        self._act()
        user = self._request("GET", f"/v1/users/{self._user_id}", self.fleet.operator)
        minted = self._sign_in_until_minted(user.json["tokens_valid_after"] or 0)
        if minted is not None:
            self._compare_with_stream(minted, old)
            self.figures.finish(self.kind)

    def _act(self) -> None:
        headers, event = self.fleet.operator, None
        if self.kind == LOGOUT:
            headers, (path, event) = {}, self.fleet.logout(self._user_id)
        else:
            action = "renewals" if self.kind == RENEWAL else "revocations"
            path = f"/v1/users/{self._user_id}/{action}"
        response = self._request("POST", path, headers, event)
        assert response.status == 200, response

    def _request(self, *request: Any) -> Response:
        """Send a request, and repeat it while the service is busy or has no database."""
        for _ in range(_MAX_REQUESTS):
            response = self.connection.request(*request)
            wait = int(response.headers.get("Retry-After", 0))
            if response.status != 503 or wait == 1:  # 1: the second of the cut-off has not ended
                break
            self.figures.add_outcome(self.kind, "repeated")
            time.sleep(wait)
        return response

    def _sign_in_until_minted(self, cut_off: int) -> dict[str, Any] | None:
        for _ in range(_MAX_REQUESTS):
            signed_in_at = int(time.time()) - (3600 if self.kind == RENEWAL else 0)
            response = self._mint(signed_in_at)
            code = outcome(response)
            self.figures.add_outcome(self.kind, code)
            if response.status == 200:
                minted: dict[str, Any] = response.json
                return minted
            clock_ahead = CLOCK_AHEAD[PROVIDER] if self.kind == LOGOUT else 0
            accepted_from = cut_off + CLOCK_AHEAD.get(self.kind, clock_ahead)
            if code == "sign_in_required" and signed_in_at < accepted_from:
                _sleep_until(response.json["sign_in_after"])
            elif response.status == 503 and response.headers.get("Retry-After") == "1":
                time.sleep(1)
            else:
                self._add_failure(f"{code}, signed in at {signed_in_at}, cut-off {cut_off}")
                return None
        self._add_failure(f"no token after {_MAX_REQUESTS} requests")
        return None

    def _compare_with_stream(self, minted: dict[str, Any], old: str) -> None:
        """Connect with the new token immediately. Check both tokens after the delivery."""
        if not connects(self.fleet.stream, minted):
            self._add_failure("Stream refuses the new token")
        self.fleet.wait_for_delivery([self._user_id])
        if self.fleet.stream_error(old) != REVOKED:
            self._add_failure("Stream accepts the old token")
        if self.fleet.stream_error(minted["token"]) is not None:
            self._add_failure("Stream refuses the new token after the delivery")

    def _mint(self, signed_in_at: int) -> Response:
        headers, body = self.fleet.vouching_client, {"user_id": self._user_id}
        if self.kind == ACCOUNT:
            headers, body = self.fleet.sign_in_here(self._user_id, self.connection), None
        elif self.kind != BACKEND:
            provider = self.kind if self.kind in CLOCK_AHEAD else PROVIDER
            headers, body = self.fleet.sign_in(self._user_id, signed_in_at, provider), None
        return self._request("POST", "/v1/token", headers, body)

    @property
    def _user_id(self) -> str:
        return f"user-{self.number}-{SIGN_INS.index(self.kind)}"

    def _add_failure(self, failure: str) -> None:
        self.figures.add_failure(f"{self.kind}, offset {self.number}: {failure}")


def _sleep_until(moment: float) -> None:
    while (left := moment - time.time()) > 0:
        time.sleep(left)
