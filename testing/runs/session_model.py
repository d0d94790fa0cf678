"""
Random interleavings of refreshes, thefts, actions and purges: the database against a pure model.

The clock is a parameter.
"""

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from unittest.mock import patch

import sqlalchemy as sa
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import run_state_machine_as_test

from testing.database_parts import engine_of
from testing.runs.preparation import database_settings, temporary_folder
from testing.runs.session_machine import Interleavings
from testing.server_clock import clock_as_parameter
from tokensvc.database.engine import Database
from tokensvc.sessions import service


@dataclass
class Figures:
    """
    Figures of one database.

    Attributes:
        wanted: Number of interleavings that the run must reach.
        counts: Numbers of `interleavings` of requests, actions and waits, of such `steps`, and of
            `collisions`: refreshes that found a changed family when they wrote.
        fault: The difference to the model, with its shortest interleaving.
    """

    database: str
    wanted: int
    counts: Counter[str] = field(default_factory=Counter)
    fault: str = ""
    seconds: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether the database followed the model, and refreshes did collide."""
        has_run = self.counts["interleavings"] >= self.wanted and self.counts["collisions"] > 0
        return has_run and not self.fault

    def lines(self) -> Iterator[str]:
        """Yield the figures as text."""
        yield (
            f"{self.database}: {self.counts['interleavings']} interleavings with "
            f"{self.counts['steps']} steps, {self.counts['collisions']} collisions, "
            f"{self.seconds:.0f} s"
        )
        if self.fault:
            yield f"  {self.fault}"


def prove(database: str, *, interleavings: int, repeatable: bool = False) -> Figures:
    """
    Run interleavings.

    Args:
        database: `sqlite` or `postgresql`.
        interleavings: Number of interleavings, of at most 30 steps each.
        repeatable: Whether each run has the same interleavings.
    """
    figures = Figures(database, interleavings)
    start = time.monotonic()
    many = hypothesis_settings(
        max_examples=interleavings, stateful_step_count=30, deadline=None, derandomize=repeatable
    )
    with contextlib.ExitStack() as stack:
        settings = database_settings(stack, temporary_folder(stack), database)
        opened = Database.open(settings["TOKENSVC_DATABASE_URL"], pool_size=4)
        stack.callback(opened.close)
        machine = type("Machine", (Interleavings,), {"database": opened, "counts": figures.counts})
        machine.set_clock = _clock_of(opened)
        stack.enter_context(patch.object(service.Sessions, "_apply", _apply_after_hook))
        try:
            run_state_machine_as_test(machine, settings=many)
        except AssertionError as error:
            figures.fault = "\n  ".join([repr(error), *getattr(error, "__notes__", [])])
    figures.seconds = time.monotonic() - start
    return figures


_apply = service.Sessions._apply


def _apply_after_hook(*arguments):
    """Apply a decision, after what a thread waits for."""
    Interleavings.hooks.pop(threading.current_thread(), lambda: None)()
    return _apply(*arguments)


def _clock_of(database: Database) -> Callable[[float], None]:
    """Return the function that sets the server's time; on SQLite the service uses the host's."""
    if database.dialect == "postgresql":
        return clock_as_parameter(database)
    # Nothing crashes here: commits need not reach the disk.
    sa.event.listen(
        engine_of(database),
        "connect",
        lambda connection, _record: connection.execute("PRAGMA synchronous=OFF"),
    )
    return lambda _: None
