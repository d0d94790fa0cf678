"""What the crash proof counts, and when it holds."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

UNDO_THEN_ACT, ACT_THEN_UNDO = PAIRS = ("undo then act", "act then undo")
"""What one subject meets in a row, so that a call that comes late brings over the opposite."""


@dataclass
class Figures:
    """
    What is proved.

    Attributes:
        wanted: Kills that were asked for.
        pairs: Undone acts after others, and others after undone ones, of one subject.
        under_way: Requests that a kill met.
        lost: Acts whose answer was lost, by whether they were done.
        checks: States, and mints of a covered credential, that were looked at after a restart.
        compared: States at Stream, in the end.
        applied: States that were said to be `applied`, and looked at meanwhile.
        wrong_here: What was not as answered after a restart.
        wrong_at_stream: What Stream holds and should not.
    """

    wanted: int = 0
    kills: int = 0
    seconds: float = 0.0
    acts: Counter[str] = field(default_factory=Counter)
    pairs: Counter[str] = field(default_factory=Counter)
    under_way: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    checks: int = 0
    calls: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    compared: int = 0
    applied: int = 0
    wrong_here: list[str] = field(default_factory=list)
    wrong_at_stream: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether nothing was wrong, and all that could have been wrong was there."""
        if self.wrong_here or self.wrong_at_stream or self.failures:
            return False
        met = (self.acts.total(), self.under_way, *(self.pairs[pair] for pair in PAIRS))
        looked_at = (self.checks, self.compared, self.applied, self.faults.total())
        return self.kills == self.wanted > 0 and min(*met, *looked_at) > 0

    def lines(self) -> Iterator[str]:
        """Write them for people."""
        kills = f"{self.kills} of {self.wanted} kills in {self.seconds:.0f} s"
        yield f"{kills}, {self.under_way} requests under way"
        yield f"{self.acts.total()} acts answered: {_counted(self.acts)}; {_counted(self.pairs)}"
        yield f"answers lost: {_counted(self.lost)}"
        share = 100 * self.faults.total() / max(1, self.calls)
        yield f"{self.calls} calls to Stream, {share:.0f} % failed: {_counted(self.faults)}"
        yield f"{self.checks} checks after restarts, {len(self.wrong_here)} wrong"
        yield (
            f"at Stream {self.compared} states in the end and {self.applied} said to be applied "
            f"before, {len(self.wrong_at_stream)} wrong"
        )
        for told in (*self.failures[:5], *self.wrong_here[:5], *self.wrong_at_stream[:5]):
            yield f"  {told}"


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(counts.items())) or "none"
