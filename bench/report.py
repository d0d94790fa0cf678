"""The tables: the cost of each system, and the ratios with their limits."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench.measure import Round

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    The results of one system.

    Attributes:
        first_response: Seconds from its start to the first response.
        worker_bytes: Resident memory of the largest worker after the warm-up.
        worker_bytes_at_end: Resident memory of the largest worker after all rounds.
    """

    name: str
    rounds: Sequence[Round]
    first_response: float
    worker_bytes: int
    worker_bytes_at_end: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    A figure and its limit.

    Attributes:
        figures: Figures of the rounds.
        limit: Maximum of the median.
        aim: Desirable maximum of the median, below the limit.
    """

    what: str
    figures: Sequence[float]
    unit: str
    limit: float
    aim: float | None = None

    @property
    def reached(self) -> bool:
        """Whether the median is within the limit."""
        return median(self.figures) <= self.limit

    def line(self) -> str:
        """Return the row of the table."""
        target = f"<= {self.limit:g}"
        if self.aim is not None:
            met = "reached" if median(self.figures) <= self.aim else "missed"
            target += f", aim {self.aim:g} {met}"
        verdict = "PASS" if self.reached else "MISS"
        return f"{self.what:<54}{_spread(self.figures, self.unit):<26}{verdict}  {target}"


def systems_table(outcomes: Sequence[Outcome]) -> str:
    """Return a row for each system: medians of the rounds, with minimum and maximum."""
    columns = ("CPU us/request", "requests/s", "p50 ms", "p99 ms")
    lines = [f"{'':<30}" + "".join(f"{column:<24}" for column in columns) + "worker MiB"]
    for outcome in outcomes:
        cells = (
            _spread([item.cpu for item in outcome.rounds], digits=0),
            _spread([item.rate for item in outcome.rounds], digits=0),
            _spread([item.p50 for item in outcome.rounds], digits=1),
            _spread([item.p99 for item in outcome.rounds], digits=1),
        )
        memory = f"{outcome.worker_bytes / MIB:.0f} -> {outcome.worker_bytes_at_end / MIB:.0f}"
        lines.append(f"{outcome.name:<30}" + "".join(f"{cell:<24}" for cell in cells) + memory)
    return "\n".join(lines)


def verdicts(service: Outcome, crowded: Outcome, bare: Outcome, by_hand: Outcome) -> list[Verdict]:
    """Compare the service with its peers of the same round, and with the limits."""
    return [
        Verdict("CPU per mint / bare Flask route", _ratios(service, bare), "x", 1.8, aim=1.5),
        Verdict(f"CPU per mint / {by_hand.name}", _ratios(service, by_hand), "x", 1.15, aim=1.0),
        Verdict("CPU per mint, 1,000,000 revoked / 1,000", _ratios(crowded, service), "x", 1.1),
        Verdict("p99 / p50", [item.p99 / item.p50 for item in service.rounds], "x", 10),
        Verdict("memory of a worker", [service.worker_bytes_at_end / MIB], " MiB", 120),
        Verdict("start to first token", [service.first_response], " s", 2),
    ]


def _ratios(service: Outcome, peer: Outcome) -> list[float]:
    pairs = zip(service.rounds, peer.rounds, strict=True)
    return [measured.cpu / compared.cpu for measured, compared in pairs]


def _spread(figures: Sequence[float], unit: str = "", digits: int = 2) -> str:
    middle = f"{median(figures):,.{digits}f}{unit}"
    if len(figures) == 1:
        return middle
    return f"{middle} [{min(figures):,.{digits}f}-{max(figures):,.{digits}f}]"
