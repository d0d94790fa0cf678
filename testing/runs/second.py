"""
Signing in right after a revocation works, whenever in a second: `python -m proofs.second`.

At every 10 ms of a second users who have a token are revoked and sign in again at once, as often as
they are asked to: with a provider whose clock may run ahead, with one whose clock may not, and with
a backend whose word is a sign-in. Proved is that the new token is one that Stream takes at once;
that until there is one the answer is 503 with `Retry-After`, or `sign_in_required` while the
sign-in is not late enough, and never after; that it ends; and that Stream refuses the old token.
"""

import math
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from testing.rotation import connects
from testing.runs.fleet import (
    CLOCK_AHEAD,
    EXACT_PROVIDER,
    PROVIDER,
    Fleet,
    Line,
    Response,
    running_fleet,
)

DATABASES = ("postgresql", "sqlite")
OFFSETS = 100
BACKEND = "backend"
WAYS = (PROVIDER, EXACT_PROVIDER, BACKEND)
"""To sign in."""
_TOGETHER = 10
"""Offsets at once, evenly over the second."""
_ASKED_AT_MOST = 4
"""Requests until there is a token: a sign-in too early, one late enough, and a second to wait."""


@dataclass
class Figures:
    """
    What is proved of one database.

    Attributes:
        outcomes: How often the requests after an act were answered how, by the way to sign in.
        finished: Trials that showed all their tokens to Stream, by the way to sign in.
        faults: What must not be, in words.
    """

    database: str
    offsets: int
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    finished: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def holds(self) -> bool:
        """Whether every user had a new token, all were looked at, and nothing went wrong."""
        every = all(
            self.outcomes[way, "minted"] == self.finished[way] == self.offsets for way in WAYS
        )
        return every and self.offsets > 0 and not self.faults

    def lines(self) -> Iterator[str]:
        """Write them for people."""
        yield f"{self.database}: {self.offsets} acts, one at each offset of a second"
        for way in WAYS:
            counts = (f"{code} {n}" for (of, code), n in sorted(self.outcomes.items()) if of == way)
            yield f"  {way}: {', '.join(counts)}; at Stream {self.finished[way]}"
        yield f"  faults: {len(self.faults)}"
        yield from (f"    {fault}" for fault in self.faults[:5])

    def saw(self, way: str, code: str) -> None:
        with self._lock:
            self.outcomes[way, code] += 1

    def finish(self, way: str) -> None:
        with self._lock:
            self.finished[way] += 1

    def blame(self, fault: str) -> None:
        with self._lock:
            self.faults.append(fault)


def prove(database: str, *, offsets: int = OFFSETS) -> Figures:
    """
    Revoke and sign in again.

    Args:
        database: `sqlite`, one instance of two workers; `postgresql`, two of them.
        offsets: Into how many parts a second is divided.
    """
    figures = Figures(database, offsets)
    rounds = math.ceil(offsets / _TOGETHER)
    with running_fleet(database, lines=len(WAYS) * _TOGETHER) as fleet:
        lines = [line for held in zip(*fleet.lines, strict=True) for line in held]
        for first in range(rounds):
            users = [(number, way) for number in range(first, offsets, rounds) for way in WAYS]
            together = [
                threading.Thread(target=_Trial(fleet, figures, line, number, way).run)
                for line, (number, way) in zip(lines, users, strict=False)
            ]
            for thread in together:
                thread.start()
            for thread in together:
                thread.join()
    return figures


@dataclass
class _Trial:
    """One user, revoked at one offset, who signs in again until there is a token."""

    fleet: Fleet
    figures: Figures
    line: Line
    number: int
    way: str

    def run(self) -> None:
        """Try it; a trial that breaks is a fault, since nobody waits for what a thread raises."""
        try:
            self._try()
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing is proved then
            self._blame(f"broke: {error!r}")

    def _try(self) -> None:
        user_id = self._user_id()
        self.fleet.know(user_id)
        old = self._mint(int(time.time()) - 3600).json["token"]
        _wait_until(math.floor(time.time()) + 1 + self.number / self.figures.offsets)
        path = f"/v1/users/{user_id}/revocations"
        act = self.line.ask("POST", path, self.fleet.operator).json
        minted = self._sign_in_until_minted(act["tokens_valid_after"])
        if minted is not None:
            self._look_at_stream(minted, old, act["tokens_valid_after"])
            self.figures.finish(self.way)

    def _sign_in_until_minted(self, cut_off: int) -> dict[str, Any] | None:
        for _ in range(_ASKED_AT_MOST):
            signed_in_at = int(time.time())
            answer = self._mint(signed_in_at)
            self.figures.saw(self.way, answer.code)
            enough = cut_off + CLOCK_AHEAD.get(self.way, 0)
            if answer.status == 200:
                minted: dict[str, Any] = answer.json
                return minted
            if answer.code == "sign_in_required" and signed_in_at < enough:
                _wait_until(answer.json["sign_in_after"])
            elif answer.status == 503 and answer.headers.get("Retry-After") == "1":
                time.sleep(1)
            else:
                self._blame(f"{answer.code}, signed in at {signed_in_at}, cut-off {cut_off}")
                return None
        self._blame(f"asked {_ASKED_AT_MOST} times, and there is no end to it")
        return None

    def _look_at_stream(self, minted: dict[str, Any], old: str, cut_off: int) -> None:
        """Connect with the new token at once, then see to both once Stream has been told."""
        if not connects(self.fleet.stream, minted):
            self._blame("Stream refuses the new token")
        self.fleet.wait_for_delivery({self._user_id(): cut_off})
        if self.fleet.refusal(old) != 40:
            self._blame("Stream takes the old token")
        if self.fleet.refusal(minted["token"]) is not None:
            self._blame("Stream refuses the new token once it was told")

    def _mint(self, signed_in_at: int) -> Response:
        user_id = self._user_id()
        if self.way == BACKEND:
            return self.line.ask("POST", "/v1/token", self.fleet.voucher, {"user_id": user_id})
        credential = self.fleet.sign_in(user_id, signed_in_at, self.way)
        return self.line.ask("POST", "/v1/token", credential)

    def _user_id(self) -> str:
        return f"user-{self.number}-{WAYS.index(self.way)}"

    def _blame(self, fault: str) -> None:
        self.figures.blame(f"{self.way}, offset {self.number}: {fault}")


def _wait_until(moment: float) -> None:
    while (left := moment - time.time()) > 0:
        time.sleep(left)
