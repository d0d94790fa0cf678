"""
Planned failures of a double.

A test plans a fault for a route and a number of calls. A planned fault does not depend on time: a
call that waits is released by the test.
"""

import random
import threading
from collections import Counter
from collections.abc import Collection
from enum import StrEnum
from fnmatch import fnmatchcase

from testing.response import Response


class FaultKind(StrEnum):
    REFUSE = "refuse"  # close the connection; do not apply the call
    HANG = "hang"  # wait for the release, then apply the call and respond
    CUT = "cut"  # apply the call; close the connection in the middle of the response
    LATE = "late"  # close the connection; apply the call after the release
    RESPOND = "respond"  # send the planned response; do not apply the call


class Fault:
    """
    A planned failure.

    Attributes:
        hits: Number of calls that met it.
    """

    def __init__(self, kind: FaultKind, route: str, times: int | None, response: Response | None):
        self.kind = kind
        self.route = route
        self.left = times
        self.response = response
        self.hits = 0
        self._released = threading.Event()

    def release(self) -> None:
        """Release every current and future call that `hang` or `late` holds."""
        self._released.set()

    def wait(self) -> None:
        self._released.wait()


class Faults:
    """
    The planned failures of a double. The fault that was planned first is used first.

    A route is `"METHOD /path"` with shell wildcards. `times=None` applies until `clear`.
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

    def late(self, route: str = "*") -> Fault:
        return self._plan(FaultKind.LATE, route, 1)

    def respond(self, response: Response, route: str = "*", times: int | None = 1) -> Fault:
        return self._plan(FaultKind.RESPOND, route, times, response)

    def clear(self) -> None:
        """Remove planned faults and release waiting calls."""
        with self._lock:
            for fault in [*self._planned, *self._held]:
                fault.release()
            self._planned, self._held = [], []

    def take(self, route: str) -> Fault | None:
        """Return the fault of a call to `route`, if any, and count the call."""
        with self._lock:
            fault = next((item for item in self._planned if fnmatchcase(route, item.route)), None)
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
        self, kind: FaultKind, route: str, times: int | None, response: Response | None = None
    ) -> Fault:
        fault = Fault(kind, route, times, response)
        with self._lock:
            self._planned.append(fault)
        return fault


class RandomFaults(Faults):
    """
    Random failures, for long proofs.

    Attributes:
        share: Fraction of the calls that fail.
        longest: Maximum number of seconds until a call that hangs or is late is released.
        met: Number of failed calls by kind.
        spared: Routes whose calls never fail.
    """

    KINDS = (FaultKind.REFUSE, FaultKind.HANG, FaultKind.CUT, FaultKind.LATE)

    def __init__(self, generator: random.Random, share: float, longest: float) -> None:
        super().__init__()
        self.share = share
        self.longest = longest
        self.met: Counter[FaultKind] = Counter()
        self.spared: Collection[str] = ()
        self._random = generator

    def take(self, route: str) -> Fault | None:
        """Return a random fault or `None`. Release the fault after a random time."""
        with self._lock:
            if route in self.spared or self._random.random() >= self.share:
                return None
            fault = Fault(self._random.choice(self.KINDS), route, 1, None)
            self.met[fault.kind] += 1
            self._held.append(fault)
            timer = threading.Timer(self._random.uniform(0, self.longest), fault.release)
        timer.daemon = True
        timer.start()
        return fault
