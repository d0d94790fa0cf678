"""A database that is 1 ms away: the service on its own worker next to itself on gthread."""

import argparse
from dataclasses import replace
from pathlib import Path

from bench import interleaved, report
from bench.interleaved import CONNECTIONS
from bench.report import Target
from bench.scene import scene
from bench.systems import service
from testing.service import ROOT

add_options = interleaved.add_options
_PATCH = """
import time
from tokensvc.database.postgresql import BoundedConnection
fetch = BoundedConnection.fetch
def slow_fetch(self, statement, values):
    time.sleep(0.001)
    return fetch(self, statement, values)
BoundedConnection.fetch = slow_fetch
"""


def run(options: argparse.Namespace) -> int:
    """Measure both workers, and return 1 if a target is missed."""
    with interleaved.postgres_server() as postgres, scene() as here:
        environ = _patched(here.folder)
        on_loop = service("tokensvc", database_url=postgres.fresh_url())
        on_gthread = service("tokensvc on gthread", database_url=postgres.fresh_url())
        systems = (
            replace(on_loop, environ=environ),
            replace(on_gthread, environ={**environ, "GUNICORN_CMD_ARGS": "-k gthread"}),
        )
        rounds = interleaved.measure(options, here, systems, postgres)
    ours, theirs = rounds
    targets = [
        Target("CPU / on gthread", report.ratios(ours, theirs), 1),
        Target(
            "mints/s of gthread / ours",
            [other.rate / one.rate for one, other in zip(ours, theirs, strict=True)],
            1,
        ),
    ]
    rows = [
        (system.name, *report.figures(done)) for system, done in zip(systems, rounds, strict=True)
    ]
    text = (
        f"PostgreSQL, 1 ms added to every statement, one worker, {CONNECTIONS} "
        f"connections, medians of {options.rounds} interleaved rounds.\n\n"
        + report.table(("system", *report.FIGURES), rows)
    )
    return report.finish("slow", text, targets, record=options.record)


def _patched(folder: Path) -> dict[str, str]:
    patch = folder / "patch"
    patch.mkdir()
    (patch / "sitecustomize.py").write_text(_PATCH)
    return {"PYTHONPATH": f"{patch}:{ROOT}"}
