"""A reconnect storm: every user requests a token once, as fast as they come."""

import argparse
import re
from collections import Counter

from bench import report
from bench.credentials import USER_IDS
from bench.measure import Measured, Meter
from bench.report import Target
from bench.scene import scene
from bench.systems import SERVICE, Stage

_TRIAL = 2_000


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--connections", type=int, default=256)
    parser.add_argument("--workers", type=int, default=2)


def run(options: argparse.Namespace) -> int:
    """Run the storm with the limits of the default settings; 1 if a target is missed."""
    with scene(users=USER_IDS) as here:
        stage = Stage(here.folder, here.public_key_file, workers=options.workers)
        meter = Meter(here.credentials)
        with (
            stage.running(SERVICE) as running,
            meter.connected(running, options.connections) as measured,
        ):
            rate = measured.round(_TRIAL).rate
            asked = here.credentials.take(int(rate * options.seconds * 1.3))
            return _storm(options, measured, measured.requests(asked))


def _storm(options: argparse.Namespace, measured: Measured, requests: list[bytes]) -> int:
    responses = measured.run(requests, options.seconds)
    ordered = sorted(responses.latencies)
    p50, p99 = ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100]
    statuses = Counter(_status(response) for response in responses.refused)
    others = sum(count for status, count in statuses.items() if status != "429")
    refused = ", ".join(f"{count} x {status}" for status, count in statuses.items()) or "none"
    row = (
        f"{len(ordered):,}",
        f"{len(ordered) / responses.seconds:,.0f}",
        f"{p50 * 1e3:.1f}",
        f"{p99 * 1e3:.1f}",
        f"{ordered[-1] * 1e3:.0f}",
        refused,
    )
    columns = ("requests", "requests/s", "p50 ms", "p99 ms", "worst ms", "refusals")
    text = (
        f"{options.workers} workers, {options.connections} connections, default limits, "
        f"{responses.seconds:.0f} s, every user once.\n\n{report.table(columns, [row])}"
    )
    targets = [
        Target("refusals other than 429", [others], 0),
        Target("p99 / p50", [p99 / p50], 10),
    ]
    return report.finish("storm", text, targets, record=options.record)


def _status(response: bytes) -> str:
    found = re.match(rb"HTTP/1.1 (\d{3}) ", response)
    return found[1].decode() if found else "no response"
