"""A mint next to its peers: rows of workers and cores, columns of connections."""

import argparse
import contextlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench import report
from bench.measure import Meter, Round
from bench.report import Target
from bench.scene import Scene, scene
from bench.systems import (
    BARE,
    BY_HAND,
    EXPRESS_FOLDER,
    PEERS,
    SERVICE,
    Running,
    Stage,
    install_packages,
)

NO_LIMIT = {"TOKENSVC_LIMITS__MINT": "1000000/minute"}
"""Each request is counted, and no limit is reached."""
REQUESTS = {1: 200, 16: 400, 256: 768}
"""Requests of a round, by number of connections."""
_WARM_UP = 2_000
"""Requests after which the compiler of V8 has settled."""
_EXPRESS_20 = "Express + jose, Node 20"
"""Only this Express has a target, if it is measured: RESULTS.md explains why Node 24 has none."""


@dataclass(frozen=True, slots=True)
class Row:
    """
    One way to run the server.

    Attributes:
        title: Title of the table.
        workers: Number of workers.
        is_pinned: Whether the server has one core and the load another.
        limits: Greatest ratio of CPU time to a peer, with 16 connections.
    """

    title: str
    workers: int
    is_pinned: bool
    limits: dict[str, float]


ROWS = {
    "pinned": Row(
        "One worker pinned to a core, the load on another",
        workers=1,
        is_pinned=True,
        limits={BARE.name: 1.2, BY_HAND.name: 0.75, _EXPRESS_20: 0.5},
    ),
    "free": Row(
        "One worker, a core free",
        workers=1,
        is_pinned=False,
        limits={BARE.name: 0.8, BY_HAND.name: 0.45, _EXPRESS_20: 0.5},
    ),
    "two": Row("Two workers", workers=2, is_pinned=False, limits={}),
}
Cell = dict[str, list[Round]]
"""The rounds of each system."""
Cells = dict[int, Cell]
"""A cell for each number of connections."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--connections", nargs="+", type=int, choices=REQUESTS, default=[*REQUESTS])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument(
        "--repeats", type=int, default=3, help="times a round is repeated if others disturb it"
    )
    parser.add_argument(
        "--minutes", type=float, default=8, help="time after which no round is repeated"
    )


def run(options: argparse.Namespace) -> int:
    """Measure every row, and return 1 if a target is missed. Each row has a section of its own."""
    install_packages(EXPRESS_FOLDER)
    statuses = []
    repeat_until = time.monotonic() + options.minutes * 60
    with scene() as here:
        for name in options.rows:
            first_response, cells = _measure(here, ROWS[name], options, repeat_until)
            targets = _targets(name, cells)
            targets.append(Target(f"{name}: start to first token", [first_response], 2, " s"))
            text = _row_text(ROWS[name], cells, options.rounds)
            statuses.append(report.finish(f"compare {name}", text, targets, record=options.record))
    return max(statuses)


def _measure(
    here: Scene, row: Row, options: argparse.Namespace, repeat_until: float
) -> tuple[float, Cells]:
    server_cores, load_cores = split_cores(is_pinned=row.is_pinned)
    stage = Stage(
        here.folder,
        here.public_key_file,
        workers=row.workers,
        cores=server_cores,
        settings=NO_LIMIT,
    )
    meter = Meter(here.credentials, load_cores, options.repeats, repeat_until)
    with contextlib.ExitStack() as stack:
        runs = []
        first_response = 0.0
        for system in (SERVICE, *PEERS):
            running = stack.enter_context(stage.running(system))
            seconds = meter.first_response(running)
            first_response = first_response or seconds
            runs.append(running)
        _warm_up(meter, runs)
        return first_response, {
            connections: _cell(meter, runs, connections, options.rounds)
            for connections in options.connections
        }


def split_cores(*, is_pinned: bool) -> tuple[list[int], list[int]]:
    """Return the cores of the server and those of the load."""
    cores = sorted(os.sched_getaffinity(0))
    return (cores[:1], cores[1:] or cores) if is_pinned else (cores, cores)


def _warm_up(meter: Meter, runs: Sequence[Running]) -> None:
    for running in runs:
        with meter.connected(running, 16) as measured:
            measured.mint(_WARM_UP)


def _cell(meter: Meter, runs: Sequence[Running], connections: int, rounds: int) -> Cell:
    cell: Cell = {running.system.name: [] for running in runs}
    with contextlib.ExitStack() as stack:
        connected = [stack.enter_context(meter.connected(one, connections)) for one in runs]
        for _ in range(rounds):
            for measured in connected:
                done = measured.round(REQUESTS[connections])
                cell[measured.running.system.name].append(done)
    print(
        f"  {connections} connections measured, load of the machine {os.getloadavg()[0]:.1f}, "
        f"{_disturbed(cell)} rounds disturbed",
        flush=True,
    )
    return cell


def _disturbed(cell: Cell) -> int:
    return sum(not one.is_quiet for rounds in cell.values() for one in rounds)


def _row_text(row: Row, cells: Cells, count: int) -> str:
    rows = []
    for connections, cell in cells.items():
        for name, rounds in cell.items():
            ratio = report.spread(report.ratios(cell[SERVICE.name], rounds))
            rows.append((name, str(connections), *report.figures(rounds), ratio))
    disturbed = sum(_disturbed(cell) for cell in cells.values())
    columns = ("system", "connections", *report.FIGURES, "ratio")
    return (
        f"{row.title}. Medians of {count} interleaved rounds [lowest-highest]; CPU time of all "
        "processes of a server. `ratio` is the service's CPU time per request divided by the "
        f"peer's. Express is always one process.\n\n{report.table(columns, rows)}\n\n"
        f"{disturbed} of {count * len(rows)} rounds were disturbed by other processes also when "
        "repeated."
    )


def _targets(name: str, cells: Cells) -> list[Target]:
    targets = []
    for connections, cell in cells.items():
        ours = cell[SERVICE.name]
        if connections == 1:
            continue
        targets.append(
            Target(f"{name}, {connections}: switches per mint", [one.switches for one in ours], 2)
        )
        if connections == 16:
            targets += [
                Target(f"{name}, 16: CPU / {peer}", report.ratios(ours, cell[peer]), limit)
                for peer, limit in ROWS[name].limits.items()
                if peer in cell
            ]
    return targets
