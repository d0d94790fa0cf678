"""A database that is 1 ms away: the service on its own worker next to itself on gthread."""

import argparse
import contextlib
from dataclasses import replace
from pathlib import Path

from bench import report
from bench.compare import NO_LIMIT
from bench.measure import Meter
from bench.report import Target
from bench.scene import scene
from bench.systems import ROOT, Stage, service
from testing.postgres import PostgresServer

_CONNECTIONS = 16
_PATCH = """
import time
from tokensvc.standing.store import StandingStore
read = StandingStore.read
def slow_read(self, user_id):
    standing = read(self, user_id)
    time.sleep(0.001)
    return standing
StandingStore.read = slow_read
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--requests", type=int, default=800, help="requests of a round")
    parser.add_argument("--repeats", type=int, default=3)


def run(options: argparse.Namespace) -> int:
    """Measure both workers, and return 1 if a target is missed."""
    postgres = PostgresServer()
    try:
        return _run(options, postgres)
    finally:
        postgres.remove()


def _run(options: argparse.Namespace, postgres: PostgresServer) -> int:
    with scene() as here, contextlib.ExitStack() as stack:
        environ = _patched(here.folder)
        on_loop = service("tokensvc", database_url=postgres.fresh_url())
        on_gthread = service("tokensvc on gthread", database_url=postgres.fresh_url())
        systems = (
            replace(on_loop, environ=environ),
            replace(on_gthread, environ={**environ, "GUNICORN_CMD_ARGS": "-k gthread"}),
        )
        stage = Stage(here.folder, here.public_key_file, workers=1, settings=NO_LIMIT)
        meter = Meter(here.credentials, repeats=options.repeats)
        connected = []
        for system in systems:
            running = stack.enter_context(stage.running(system))
            connected.append(stack.enter_context(meter.connected(running, _CONNECTIONS)))
        for measured in connected:
            measured.mint(options.requests)
        rounds = [
            [measured.round(options.requests, [postgres.pid]) for measured in connected]
            for _ in range(options.rounds)
        ]
    ours, theirs = ([pair[index] for pair in rounds] for index in (0, 1))
    targets = [
        Target("CPU / on gthread", report.ratios(ours, theirs), 1),
        Target(
            "mints/s of gthread / ours",
            [other.rate / one.rate for one, other in zip(ours, theirs, strict=True)],
            1,
        ),
    ]
    rows = [
        (system.name, *report.figures(figures))
        for system, figures in zip(systems, (ours, theirs), strict=True)
    ]
    text = (
        f"PostgreSQL, 1 ms added to every read of a standing, one worker, {_CONNECTIONS} "
        f"connections, medians of {options.rounds} interleaved rounds.\n\n"
        + report.table(("system", *report.FIGURES), rows)
    )
    return report.finish("slow", text, targets, record=options.record)


def _patched(folder: Path) -> dict[str, str]:
    patch = folder / "patch"
    patch.mkdir()
    (patch / "sitecustomize.py").write_text(_PATCH)
    return {"PYTHONPATH": f"{patch}:{ROOT}"}
