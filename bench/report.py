"""Tables in Markdown, targets, and the record in RESULTS.md."""

import os
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median

from bench.measure import Round
from bench.systems import NODE
from testing.service import ROOT

RESULTS = ROOT / "bench" / "RESULTS.md"
_PACKAGES = (
    *("flask", "gunicorn", "pyjwt", "cryptography", "stream-chat"),
    *("fastapi", "uvicorn", "uvloop", "httptools", "psycopg"),
)


@dataclass(frozen=True, slots=True)
class Target:
    """
    A figure and its limit.

    Attributes:
        name: What was measured.
        figures: One figure per round; the median counts.
        limit: The greatest accepted value.
    """

    name: str
    figures: Sequence[float]
    limit: float
    unit: str = ""

    @property
    def is_reached(self) -> bool:
        """Whether the median is within the limit."""
        return median(self.figures) <= self.limit


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [columns, ["---"] + ["---:"] * (len(columns) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def targets_table(targets: Sequence[Target]) -> str:
    """Return what had to be reached and whether it was."""
    rows = [
        (
            target.name,
            spread(target.figures, target.unit),
            f"<= {target.limit:g}{target.unit}",
            "reached" if target.is_reached else "**missed**",
        )
        for target in targets
    ]
    return table(("target", "median [lowest-highest]", "limit", "result"), rows)


def spread(figures: Sequence[float], unit: str = "", digits: int = 2) -> str:
    """Return the median, and the lowest and highest in brackets."""
    middle = f"{median(figures):,.{digits}f}{unit}"
    if len(figures) == 1:
        return middle
    return f"{middle} [{min(figures):,.{digits}f}-{max(figures):,.{digits}f}]"


def ratios(ours: Sequence[Round], theirs: Sequence[Round]) -> list[float]:
    """Return the ratio of CPU time in each round."""
    return [one.cpu / other.cpu for one, other in zip(ours, theirs, strict=True)]


def percentile(rounds: Sequence[Round], share: float) -> float:
    """Return a percentile of all latencies, in milliseconds."""
    ordered = sorted(latency for each_round in rounds for latency in each_round.latencies)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1e3


def figures(rounds: Sequence[Round]) -> list[str]:
    """Return the cells for CPU time, switches, rate, p50 and p99."""
    return [
        spread([one.cpu for one in rounds], digits=0),
        f"{median(one.switches for one in rounds):.2f}",
        f"{median(one.rate for one in rounds):,.0f}",
        f"{percentile(rounds, 0.5):.2f}",
        f"{percentile(rounds, 0.99):.2f}",
    ]


FIGURES = ("CPU us/request", "switches/request", "requests/s", "p50 ms", "p99 ms")


def finish(section: str, text: str, targets: Sequence[Target], *, record: bool) -> int:
    """
    Print the results, and keep them in RESULTS.md if wanted.

    Returns:
        Exit status: 1 if a target was missed.
    """
    text = f"{_circumstances()}\n\n{text}\n"
    if targets:
        text += f"\n{targets_table(targets)}\n"
    print(text)
    if record:
        _keep(section, text)
    return 0 if all(target.is_reached for target in targets) else 1


def _keep(section: str, text: str) -> None:
    before = RESULTS.read_text()
    pattern = re.compile(rf"^## {re.escape(section)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    new = f"## {section}\n\n{text}\n"
    found = pattern.search(before)
    after = before[: found.start()] + new + before[found.end() :] if found else f"{before}\n{new}"
    RESULTS.write_text(after.rstrip("\n") + "\n")


def _circumstances() -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    node = _output(str(NODE), "--version")
    commit = _output("git", "rev-parse", "--short", "HEAD")
    changed = " with changes" if _output("git", "status", "--porcelain", "tokensvc") else ""
    command = " ".join(["python -m bench", *sys.argv[1:]])
    return (
        f"`{command}`, commit `{commit}`{changed}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC. "
        f"{_processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end; "
        f"Linux {platform.release()}, Python {platform.python_version()}, Node {node}, {packages}."
    )


def _output(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _processor() -> str:
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()
