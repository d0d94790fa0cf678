"""The cost of a mint with 1,000,000 revoked users against 1,000."""

import argparse
import contextlib

from bench import report
from bench.compare import NO_LIMIT
from bench.measure import Meter, Round
from bench.report import Target
from bench.scene import scene
from bench.systems import Stage, System, service
from testing.postgres import PostgresServer

_FEW, _MANY = 1_000, 1_000_000
_LIMIT = 1.1
_CONNECTIONS = 16


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--requests", type=int, default=800, help="requests of a round")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--many", type=int, default=_MANY, help="number of revoked users")


def run(options: argparse.Namespace) -> int:
    """Measure both databases, and return 1 if a target is missed."""
    postgres = PostgresServer()
    try:
        return _run(options, postgres)
    finally:
        postgres.remove()


def _run(options: argparse.Namespace, postgres: PostgresServer) -> int:
    systems = [
        service(f"{database}, {count:,} revoked", count, url)
        for database, urls in {
            "SQLite": ("", ""),
            "PostgreSQL": (postgres.fresh_url(), postgres.fresh_url()),
        }.items()
        for count, url in zip((_FEW, options.many), urls, strict=True)
    ]
    rounds = _measure(options, systems, postgres.pid)
    rows = [(system.name, *report.figures(rounds[system.name])) for system in systems]
    targets = [
        Target(
            f"CPU, {many.name} / {few.name}",
            report.ratios(rounds[many.name], rounds[few.name]),
            _LIMIT,
        )
        for few, many in (systems[:2], systems[2:])
    ]
    text = (
        f"One worker, {_CONNECTIONS} connections, medians of {options.rounds} interleaved rounds. "
        "CPU time includes PostgreSQL's processes.\n\n"
        + report.table(("system", *report.FIGURES), rows)
    )
    return report.finish("scale", text, targets, record=options.record)


def _measure(
    options: argparse.Namespace, systems: list[System], postgres: int
) -> dict[str, list[Round]]:
    rounds: dict[str, list[Round]] = {system.name: [] for system in systems}
    with scene() as here, contextlib.ExitStack() as stack:
        stage = Stage(here.folder, here.public_key_file, workers=1, settings=NO_LIMIT)
        meter = Meter(here.credentials, repeats=options.repeats)
        connected = []
        for system in systems:
            running = stack.enter_context(stage.running(system))
            connected.append(stack.enter_context(meter.connected(running, _CONNECTIONS)))
        for measured in connected:
            measured.mint(options.requests)
        for _ in range(options.rounds):
            for measured in connected:
                system = measured.running.system
                extra = [postgres] if system.database_url else []
                rounds[system.name].append(measured.round(options.requests, extra))
    return rounds
