"""Memory of one worker over many requests, and its CPU time when idle."""

import argparse
import time

from bench import report
from bench.compare import NO_LIMIT
from bench.measure import Meter
from bench.processes import Snapshot, resident_bytes, serving_processes
from bench.report import Target
from bench.scene import scene
from bench.systems import SERVICE, Stage

_MIB = 1024 * 1024
_CHUNK = 5_000
_WARM = 20_000
"""Requests after which the memory must not grow."""
_IDLE = 20.0
"""Seconds without a request."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--connections", type=int, default=16)


def run(options: argparse.Namespace) -> int:
    """Mint, and return 1 if the worker is too large or grows by more than 5 %."""
    sizes: dict[int, float] = {}
    with scene() as here:
        stage = Stage(here.folder, here.public_key_file, workers=1, settings=NO_LIMIT)
        meter = Meter(here.credentials)
        with (
            stage.running(SERVICE) as running,
            meter.connected(running, options.connections) as measured,
        ):
            (worker,) = serving_processes(running.leader)
            for minted in range(_CHUNK, options.requests + 1, _CHUNK):
                measured.mint(_CHUNK)
                if minted % _WARM == 0:
                    sizes[minted] = resident_bytes(worker) / _MIB
            idle = _idle_cpu(worker)
    first, last = sizes[min(sizes)], sizes[max(sizes)]
    rows = [(f"{minted:,}", f"{size:.1f}") for minted, size in sizes.items()]
    targets = [
        Target("memory of a worker", [max(sizes.values())], 120, " MiB"),
        Target(f"growth since {_WARM:,} requests", [last / first], 1.05),
        Target("CPU of an idle worker", [idle], 2, " ms/s"),
    ]
    text = f"One worker, {options.connections} connections.\n\n" + report.table(
        ("requests", "resident MiB"), rows
    )
    return report.finish("memory", text, targets, record=options.record)


def _idle_cpu(worker: int) -> float:
    """Return the milliseconds of CPU time per second of a worker without requests."""
    before = Snapshot.take()
    time.sleep(_IDLE)
    return Snapshot.take().cpu_since(before, [worker]) / _IDLE * 1e3
