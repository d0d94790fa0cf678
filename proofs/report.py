"""The command line and the output that proofs share."""

import argparse
from collections.abc import Iterable, Iterator
from typing import Protocol

from testing.runs import PROOFS

DATABASES = ("postgresql", "sqlite")


class Figures(Protocol):
    """The result of a run."""

    @property
    def holds(self) -> bool:
        """Whether the figures show the promise."""

    def lines(self) -> Iterator[str]:
        """Yield the figures as text."""


def parser(name: str) -> argparse.ArgumentParser:
    """Return the parser of a proof's options."""
    return argparse.ArgumentParser(prog=f"python -m proofs.{name}", description=PROOFS[name])


def report(name: str, runs: Iterable[Figures]) -> int:
    """Print the figures of runs. Return 0 if all show the promise, else 1."""
    holds = True
    for figures in runs:
        print("\n".join(figures.lines()), flush=True)
        holds = holds and figures.holds
    print(f"{name}: {'holds' if holds else 'DOES NOT HOLD'}")
    return 0 if holds else 1
