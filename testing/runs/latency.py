"""
How long the old authority works after an action, layer by layer.

Users who have a token, a session and an open WebSocket are suspended, lose one of two sessions, or
sign out at the identity provider. From the response on each repeats what worked before it: to mint
and to refresh here, to call Stream and to connect to it. The time of a layer ends with the start of
its last success. A mint or a refresh that begins after the response must not succeed. Other users
who are suspended have a device, and a client whose listener leaves when access ends.

It is measured without load, while Stream fails one call of the service in three, and during 1,000
suspensions in a minute, each time within the rate limits of a Stream app that nobody has raised.
"""

import contextlib
import itertools
import math
import random
import statistics
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from testing.doubles.faults import RandomFaults
from testing.node import install_packages
from testing.runs.fleet import Connection, Fleet, running_fleet
from testing.runs.latency_users import KINDS, LAYERS, MAY_STAY, PROMISED, OldAuthority, receives

QUIET, FAILING, BUSY = CONDITIONS = (
    "quiet",
    "Stream fails 1 in 3",
    "1,000 suspensions in a minute",
)
OPEN_WEBSOCKET = "open WebSocket, client that ignores everything"
SUSPENSIONS, IN_SECONDS = 1000, 60.0
_SPARED = ("GET /hi", "GET /connect")
"""Calls of the users, whose failures would look like refusals."""
_LONGEST_FAULT = 10.0
_FIRST_FAILS = 1
"""Seed with which the first call fails."""
_PAUSE = 0.05
_APART = 2.0
"""Seconds between two users: half of Stream's limit allows one list of devices in this time."""
_SETTLED = 3.0
"""Seconds without a success after which a trial ends."""
LONGEST = 200.0


@dataclass
class Figures:
    """
    Figures of one database.

    Attributes:
        trials: Number of users of each kind of action, in each condition.
        wanted: Number of other suspensions that the last condition must have.
        times: Seconds from the response to the last success, by condition and layer; infinite if
            the layer did not end.
        longest: Seconds after which a layer of a suspension's reach counts as endless.
        still_open: Number of WebSockets that still received at the end, by condition.
        faults: Number of failed calls to Stream.
        suspensions: Number of suspensions that the last condition had.
        failures: Descriptions of trials that broke, or had a success that must not happen.
    """

    database: str
    trials: int
    wanted: int
    times: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    still_open: Counter[str] = field(default_factory=Counter)
    longest: float = LONGEST
    faults: int = 0
    suspensions: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def holds(self) -> bool:
        """
        Whether every layer was measured, and nothing succeeded that must not.

        While nothing fails, a suspension also reaches open connections and devices.
        """
        measured = all(
            len(self.times[condition, layer]) == self.trials
            for condition, layer in itertools.product(CONDITIONS, LAYERS)
        )
        reached = all(
            math.isfinite(max(self.times[QUIET, layer])) for layer in MAY_STAY if measured
        )
        happened = min(self.trials, self.faults) > 0 and self.suspensions == self.wanted > 0
        return measured and reached and happened and not self.failures

    def lines(self) -> Iterator[str]:
        """Yield the figures as text."""
        yield (
            f"{self.database}, {self.seconds:.0f} s, {self.trials} users of each kind; seconds, "
            f"inf if over {self.longest:.0f}"
        )
        yield f"  {'':<46} {' '.join(f'{condition:>30}' for condition in CONDITIONS)}"
        for layer in LAYERS:
            times = (self.times[condition, layer] or [float("nan")] for condition in CONDITIONS)
            cells = [f"median {statistics.median(each):.1f}, max {max(each):.1f}" for each in times]
            yield f"  {layer:<46} {' '.join(f'{cell:>30}' for cell in cells)}"
        cells = [f"{self.still_open[condition]} still open" for condition in CONDITIONS]
        yield f"  {OPEN_WEBSOCKET:<46} {' '.join(f'{cell:>30}' for cell in cells)}"
        yield f"  {self.faults} failed calls to Stream, {self.suspensions} other suspensions"
        yield f"  failures, each mint or refresh after the response is one: {len(self.failures)}"
        yield from (f"    {failure}" for failure in self.failures[:5])

    def add(self, condition: str, seconds: dict[str, float], *, is_open: bool) -> None:
        """Add the times of one user by layer, and whether the WebSocket is still open."""
        with self.lock:
            self.still_open[condition] += is_open
            for layer, time_of_layer in seconds.items():
                self.times[condition, layer].append(time_of_layer)


def prove(
    database: str, *, trials: int, suspensions: int = SUSPENSIONS, longest: float = LONGEST
) -> Figures:
    """
    Measure the layers in each condition.

    Args:
        database: `sqlite` for one instance of two workers, `postgresql` for two.
        trials: Number of users of each kind of action, in each condition.
        suspensions: Number of other suspensions, at the same rate.
        longest: Seconds after which a layer of a suspension's reach counts as endless.
    """
    install_packages()
    figures, start = Figures(database, trials, suspensions, longest=longest), time.monotonic()
    generator = random.Random()
    faults = RandomFaults(generator, 0.0, _LONGEST_FAULT)
    faults.spared = _SPARED
    with running_fleet(database, connections=1, faults=faults) as fleet:
        _measure(fleet, figures, QUIET, len(KINDS) * trials * _APART)
        generator.seed(_FIRST_FAILS)
        faults.share = 1 / 3
        _measure(fleet, figures, FAILING, len(KINDS) * trials * _APART)
        figures.faults = faults.met.total()
        faults.share = 0.0
        faults.clear()
        with _suspending(fleet, figures):
            _measure(fleet, figures, BUSY, suspensions * IN_SECONDS / SUSPENSIONS)
    figures.seconds = time.monotonic() - start
    return figures


def _measure(fleet: Fleet, figures: Figures, condition: str, seconds: float) -> None:
    """Run all trials of a condition, whose actions begin within some seconds."""
    users = [
        _Trial(fleet, figures, condition, kind, number)
        for number in range(figures.trials)
        for kind in KINDS
    ]
    for user in users:
        user.start()
        time.sleep(seconds / len(users))
    for user in users:
        user.join()


@contextlib.contextmanager
def _suspending(fleet: Fleet, figures: Figures) -> Iterator[None]:
    """Suspend many users within a minute, at a constant rate."""

    def suspend() -> None:
        start, connection = time.monotonic(), _connect(fleet)
        for number in range(figures.wanted):
            fleet.create_stream_user(f"other-{number}")
            time.sleep(max(0.0, start + number * IN_SECONDS / SUSPENSIONS - time.monotonic()))
            path = f"/v1/users/other-{number}/suspension"
            figures.suspensions += connection.request("PUT", path, fleet.operator).status == 200
        connection.close()

    thread = threading.Thread(target=suspend)
    thread.start()
    yield
    thread.join()


def _connect(fleet: Fleet) -> Connection:
    """Open a connection: the service closes one that is idle for long."""
    return Connection(int(fleet.services[0].base_url.rpartition(":")[2]))


class _Trial(threading.Thread):
    """A user with an old authority, on whom one action is done."""

    def __init__(
        self, fleet: Fleet, figures: Figures, condition: str, kind: str, number: int
    ) -> None:
        super().__init__()
        self._fleet = fleet
        self._figures = figures
        self._condition = condition
        self._kind = kind
        self._user_id = f"{KINDS.index(kind)}-{CONDITIONS.index(condition)}-{number}"

    def run(self) -> None:
        """Run the trial. An exception is a failure, because it would only end the thread."""
        try:
            with contextlib.closing(_connect(self._fleet)) as connection:
                authority = OldAuthority(self._fleet, connection, self._user_id, self._kind)
                with authority.connected() as socket:
                    seconds = self._measure(authority)
                    is_open = receives(socket)
            self._figures.add(self._condition, seconds, is_open=is_open)
        except Exception as error:  # noqa: BLE001 - any exception means that nothing is measured
            self._figures.failures.append(f"{self._condition}, {self._kind}: broke: {error!r}")

    def _measure(self, authority: OldAuthority) -> dict[str, float]:
        """Act, and return the time of each layer."""
        attempts = authority.attempts()
        refused = [layer for layer, attempt in attempts.items() if not attempt()]
        assert not refused, f"{refused} failed before the action"
        authority.act()
        answered = time.monotonic()
        last = dict.fromkeys(attempts, answered)
        while (now := time.monotonic()) < max(last.values()) + _SETTLED:
            if now > answered + self._figures.longest:
                endless = {layer for layer, end in last.items() if now < end + _SETTLED}
                if endless <= MAY_STAY:
                    last |= dict.fromkeys(endless, math.inf)
                    break
                assert now < answered + LONGEST, f"{endless} without an end"
            for layer, attempt in reversed(attempts.items()):  # Stream first: it may be fast
                begun = time.monotonic()
                if attempt():
                    assert layer not in PROMISED, f"{layer} succeeded after the response"
                    last[layer] = begun
            time.sleep(_PAUSE)
        return {layer: end - answered for layer, end in last.items()}
