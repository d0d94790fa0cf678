"""What the crash proof counts, and when it holds."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Figures:
    """
    What is proved.

    Attributes:
        under_way: Requests that a kill met.
        lost: Acts whose answer was lost, by whether they were done.
        checks: States, and mints of a covered credential, that were looked at after a restart.
        compared: States at Stream, in the end.
        applied: States that were said to be `applied`, and looked at meanwhile.
        wrong_here: What was not as answered after a restart.
        wrong_at_stream: What Stream holds and should not.
    """

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
        """Whether nothing was wrong, and there was something to be wrong."""
        if self.wrong_here or self.wrong_at_stream or self.failures:
            return False
        return min(self.checks, self.compared, self.acts.total(), self.faults.total()) > 0

    def lines(self) -> Iterator[str]:
        """Write them for people."""
        yield f"{self.kills} kills in {self.seconds:.0f} s, {self.under_way} requests under way"
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
