"""
Failures on order: what a double does to its next calls instead of answering them.

A fault is planned for a route and a number of calls. Nothing here depends on time: whatever waits,
waits until the test releases it.
"""

import json
import random
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; a body that is no bytes goes out as JSON."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def payload(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return json.dumps(self.body).encode()

    @property
    def parsed(self) -> Any:
        if not isinstance(self.body, bytes):
            return self.body
        try:
            return json.loads(self.body)
        except ValueError:
            return self.body


class FaultKind(StrEnum):
    REFUSE = "refuse"  # the connection ends without an answer, nothing is applied
    HANG = "hang"  # nothing happens until released, then the call is answered as usual
    CUT = "cut"  # applied, and the connection ends in the middle of the answer
    LATE = "late"  # the connection ends at once, the call is applied when released
    ANSWER = "answer"  # nothing is applied, this is answered


class Fault:
    """
    A planned failure.

    Attributes:
        hits: How many calls it has caught.
    """

    def __init__(self, kind: FaultKind, route: str, times: int | None, answer: Answer | None):
        self.kind = kind
        self.route = route
        self.left = times
        self.answer = answer
        self.hits = 0
        self._released = threading.Event()

    def release(self) -> None:
        """Let every call go on that `hang` or `late` holds, now and from now on."""
        self._released.set()

    def wait(self) -> None:
        self._released.wait()


class Faults:
    """
    The failures planned for a double, first planned first served.

    A route is `"METHOD /path"` with shell wildcards; `times=None` is for ever, until `clear`.
    """

    def __init__(self) -> None:
        self._planned: list[Fault] = []
        self._held: list[Fault] = []
        self._lock = threading.Lock()

    def refuse(self, route: str = "*", times: int | None = 1) -> Fault:
        return self._plan(FaultKind.REFUSE, route, times)

    def hang(self, route: str = "*", times: int | None = 1) -> Fault:
        return self._plan(FaultKind.HANG, route, times)

    def cut(self, route: str = "*", times: int | None = 1) -> Fault:
        return self._plan(FaultKind.CUT, route, times)

    def late(self, route: str = "*", times: int | None = 1) -> Fault:
        return self._plan(FaultKind.LATE, route, times)

    def answer(self, answer: Answer, route: str = "*", times: int | None = 1) -> Fault:
        return self._plan(FaultKind.ANSWER, route, times, answer)

    def clear(self) -> None:
        """Drop what is planned and release what is held."""
        with self._lock:
            for fault in [*self._planned, *self._held]:
                fault.release()
            self._planned, self._held = [], []

    def take(self, route: str) -> Fault | None:
        """Give the fault that a call to `route` meets, and count it."""
        with self._lock:
            fault = next((one for one in self._planned if fnmatchcase(route, one.route)), None)
            if fault is None:
                return None
            fault.hits += 1
            if fault.left is not None:
                fault.left -= 1
                if fault.left == 0:
                    self._planned.remove(fault)
            self._held.append(fault)
            return fault

    def _plan(
        self, kind: FaultKind, route: str, times: int | None, answer: Answer | None = None
    ) -> Fault:
        fault = Fault(kind, route, times, answer)
        with self._lock:
            self._planned.append(fault)
        return fault


class ChanceFaults(Faults):
    """
    Failures by chance instead of by plan, for proofs that run for long.

    Attributes:
        share: Of the calls that fail, in one of four ways.
        longest: Seconds until a call that hangs or comes late is released, at most.
        met: How many calls failed in which way.
    """

    KINDS = (FaultKind.REFUSE, FaultKind.HANG, FaultKind.CUT, FaultKind.LATE)

    def __init__(self, random_fraction: random.Random, share: float, longest: float) -> None:
        super().__init__()
        self.share = share
        self.longest = longest
        self.met: Counter[FaultKind] = Counter()
        self._chance = random_fraction

    def take(self, route: str) -> Fault | None:
        """Give the fault that a call meets, if it meets one, and release it after a while."""
        with self._lock:
            if self._chance.random() >= self.share:
                return None
            fault = Fault(self._chance.choice(self.KINDS), route, 1, None)
            self.met[fault.kind] += 1
            self._held.append(fault)
            timer = threading.Timer(self._chance.uniform(0, self.longest), fault.release)
        timer.daemon = True
        timer.start()
        return fault
