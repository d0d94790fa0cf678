"""The tables: what each system costs, and the ratios beside their targets."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench.measure import Round

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What was measured of one system.

    Attributes:
        first_answer: Seconds from its start.
        worker_bytes: Resident memory of the largest worker, warmed up.
        worker_bytes_at_end: The same after all the rounds.
    """

    name: str
    rounds: Sequence[Round]
    first_answer: float
    worker_bytes: int
    worker_bytes_at_end: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    A figure and what it must reach.

    Attributes:
        figures: One of each round.
        limit: The median must not be above it.
        aim: Worth reaching, beyond the limit.
    """

    what: str
    figures: Sequence[float]
    unit: str
    limit: float
    aim: float | None = None

    @property
    def reached(self) -> bool:
        """Whether the limit is held."""
        return median(self.figures) <= self.limit

    def line(self) -> str:
        """Give the row of the table."""
        target = f"<= {self.limit:g}"
        if self.aim is not None:
            met = "reached" if median(self.figures) <= self.aim else "missed"
            target += f", aim {self.aim:g} {met}"
        verdict = "PASS" if self.reached else "MISS"
        return f"{self.what:<54}{_spread(self.figures, self.unit):<26}{verdict}  {target}"


def systems_table(outcomes: Sequence[Outcome]) -> str:
    """Give a row for each system: medians of the rounds, lowest and highest in brackets."""
    columns = ("CPU us/request", "requests/s", "p50 ms", "p99 ms")
    lines = [f"{'':<30}" + "".join(f"{column:<24}" for column in columns) + "worker MiB"]
    for outcome in outcomes:
        cells = (
            _spread([one.cpu for one in outcome.rounds], digits=0),
            _spread([one.rate for one in outcome.rounds], digits=0),
            _spread([one.p50 for one in outcome.rounds], digits=1),
            _spread([one.p99 for one in outcome.rounds], digits=1),
        )
        memory = f"{outcome.worker_bytes / MIB:.0f} -> {outcome.worker_bytes_at_end / MIB:.0f}"
        lines.append(f"{outcome.name:<30}" + "".join(f"{cell:<24}" for cell in cells) + memory)
    return "\n".join(lines)


def verdicts(service: Outcome, crowded: Outcome, bare: Outcome, by_hand: Outcome) -> list[Verdict]:
    """Hold the service's figures against its peers' of the same round, and against the limits."""
    return [
        Verdict("CPU a mint / bare Flask route", _ratios(service, bare), "x", 1.8, aim=1.5),
        Verdict(f"CPU a mint / {by_hand.name}", _ratios(service, by_hand), "x", 1.15, aim=1.0),
        Verdict("CPU a mint, 1,000,000 revoked / 1,000", _ratios(crowded, service), "x", 1.1),
        Verdict("p99 / p50", [one.p99 / one.p50 for one in service.rounds], "x", 10),
        Verdict("memory of a worker", [service.worker_bytes_at_end / MIB], " MiB", 120),
        Verdict("start to first token", [service.first_answer], " s", 2),
    ]


def _ratios(service: Outcome, peer: Outcome) -> list[float]:
    pairs = zip(service.rounds, peer.rounds, strict=True)
    return [ours.cpu / theirs.cpu for ours, theirs in pairs]


def _spread(figures: Sequence[float], unit: str = "", digits: int = 2) -> str:
    middle = f"{median(figures):,.{digits}f}{unit}"
    if len(figures) == 1:
        return middle
    return f"{middle} [{min(figures):,.{digits}f}-{max(figures):,.{digits}f}]"
