"""The figures of the crash run, and when they show the promise."""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

UNDO_THEN_ACTION, ACTION_THEN_UNDO = PAIRS = ("undo then action", "action then undo")
"""Consecutive actions on one target, for which a late call delivers the opposite state."""
GAPS = HINT_DEVICES, DEVICE_DEVICE, DEVICES_ERASURE, ERASURE_END = (
    "hint and devices",
    "two devices",
    "devices and erasure",
    "erasure and its end",
)
"""Consecutive steps of deliveries, between which the service is killed."""


@dataclass
class Figures:
    """
    Figures of a run.

    Attributes:
        wanted: Number of kills that the run must reach.
        kills: Number of kills.
        seconds: Duration of the run.
        actions: Number of actions with a response, by action.
        pairs: Number of consecutive actions on one target, by pair.
        in_flight: Number of requests at the time of a kill.
        gaps: Number of kills when a user's deliveries were between two steps, by gap.
        wanted_gaps: Gaps that a run must meet: one with few kills may miss some.
        lost: Number of actions without a response, by whether they were done.
        checks: Number of states and refused mints that were compared after a restart.
        sessions: Number of sessions that were refreshed after a restart, by result.
        calls: Number of calls to Stream.
        faults: Number of failed calls to Stream, by kind.
        compared: Number of states that were compared with Stream at the end.
        applied: Number of `applied` states that were compared with Stream before the end.
        erased: Number of erased users that were compared with Stream.
        devices: Number of devices that an action removes and that were compared with Stream.
        wrong_here: Descriptions of differences after a restart.
        wrong_at_stream: Descriptions of differences at Stream.
        failures: Descriptions of unexpected responses.
    """

    wanted: int = 0
    kills: int = 0
    seconds: float = 0.0
    actions: Counter[str] = field(default_factory=Counter)
    pairs: Counter[str] = field(default_factory=Counter)
    in_flight: int = 0
    gaps: Counter[str] = field(default_factory=Counter)
    wanted_gaps: Collection[str] = GAPS
    lost: Counter[str] = field(default_factory=Counter)
    checks: int = 0
    sessions: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    compared: int = 0
    applied: int = 0
    erased: int = 0
    devices: int = 0
    wrong_here: list[str] = field(default_factory=list)
    wrong_at_stream: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether nothing was wrong, and everything that could be wrong was checked."""
        if self.wrong_here or self.wrong_at_stream or self.failures:
            return False
        acted = (self.actions.total(), self.actions["renew"], self.actions["log_out"])
        happened = (*acted, self.in_flight, *(self.pairs[pair] for pair in PAIRS))
        used = (self.sessions["live"], self.sessions["ended"])
        compared = (self.compared, self.applied, self.erased, self.devices)
        gaps = (self.gaps[gap] for gap in self.wanted_gaps)
        checked = (self.checks, *used, *compared, *gaps, self.faults.total())
        return self.kills == self.wanted > 0 and min(*happened, *checked) > 0

    def lines(self) -> Iterator[str]:
        """Yield the figures as text."""
        kills = f"{self.kills} of {self.wanted} kills in {self.seconds:.0f} s"
        yield f"{kills}, {self.in_flight} requests in flight; between {_counted(self.gaps)}"
        yield f"{self.actions.total()} actions: {_counted(self.actions)}; {_counted(self.pairs)}"
        yield f"lost responses: {_counted(self.lost)}"
        share = 100 * self.faults.total() / max(1, self.calls)
        yield f"{self.calls} calls to Stream, {share:.0f} % failed: {_counted(self.faults)}"
        yield f"{self.checks} checks after restarts, {len(self.wrong_here)} wrong"
        yield f"sessions refreshed after restarts: {_counted(self.sessions)}"
        yield (
            f"at Stream: {self.compared} states at the end and {self.applied} `applied` states "
            f"before, {self.erased} of erased users, {self.devices} devices to remove, "
            f"{len(self.wrong_at_stream)} wrong"
        )
        for found in (*self.failures[:5], *self.wrong_here[:5], *self.wrong_at_stream[:5]):
            yield f"  {found}"


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(counts.items())) or "none"
