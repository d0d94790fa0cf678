"""Start each system, load them in turn and compare them: `python -m bench`."""

import argparse
import contextlib
import multiprocessing
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from bench import credentials, report
from bench.load import LoadError
from bench.measure import Meter, Round
from bench.systems import BARE, BY_HAND, CROWDED, SERVICE, Running, Stage, StartError

_SYSTEMS = (SERVICE, CROWDED, BARE, BY_HAND)


def main() -> int:
    """Print the tables. Return 1 if a limit is exceeded, 2 if a system fails."""
    try:
        outcomes = _compare(_options())
    except (LoadError, StartError) as error:
        print(f"No result: {error}", file=sys.stderr)
        return 2
    print(f"Medians of {len(outcomes[0].rounds)} rounds [minimum-maximum]\n")
    print(f"{report.systems_table(outcomes)}\n")
    verdicts = report.verdicts(*outcomes)
    for verdict in verdicts:
        print(verdict.line())
    return 0 if all(verdict.reached for verdict in verdicts) else 1


def _compare(options: argparse.Namespace) -> list[report.Outcome]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tokensvc-bench-")))
        keys = credentials.make_key_pair()
        public_key_file = folder / "identity-provider.pem"
        public_key_file.write_bytes(keys.public_pem)
        # Spawned, not forked: they must not contain anything of this process.
        processes = stack.enter_context(
            ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn"))
        )
        count = len(_SYSTEMS) * (1 + options.warm_up + options.rounds * options.requests)
        print(
            f"{options.rounds} rounds (or {options.seconds} s) of {options.requests} requests to "
            f"{len(_SYSTEMS)} systems in turn: {options.connections} connections, "
            f"{options.workers} workers each, {credentials.USERS} users, {count} credentials, "
            f"each sent once.\nLoad on {os.cpu_count()} cores before: {os.getloadavg()[0]:.2f}\n",
            flush=True,
        )
        signed = list(credentials.sign_in(keys, count, processes))
        meter = Meter(iter(signed), processes, options.connections)
        stage = Stage(folder, public_key_file, options.workers)
        runs = []
        for system in _SYSTEMS:
            running = stack.enter_context(stage.running(system))
            runs.append((running, meter.first_response(running)))
        return _measure(meter, runs, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=int, default=120, help="time after which no round starts")
    parser.add_argument("--requests", type=int, default=2000, help="requests per round and system")
    parser.add_argument("--warm-up", type=int, default=1000, help="requests before the rounds")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--workers", type=int, default=2)
    return parser.parse_args()


def _measure(
    meter: Meter, runs: list[tuple[Running, float]], options: argparse.Namespace
) -> list[report.Outcome]:
    warm = []
    for running, _ in runs:
        meter.round(running, options.warm_up)
        warm.append(running.group.worker_bytes())
    rounds: list[list[Round]] = []
    deadline = time.monotonic() + options.seconds
    while len(rounds) < options.rounds and (len(rounds) < 3 or time.monotonic() < deadline):
        rounds.append([meter.round(running, options.requests) for running, _ in runs])
    return [
        report.Outcome(
            name=running.system.name,
            rounds=[row[index] for row in rounds],
            first_response=first_response,
            worker_bytes=warm[index],
            worker_bytes_at_end=running.group.worker_bytes(),
        )
        for index, (running, first_response) in enumerate(runs)
    ]


if __name__ == "__main__":
    sys.exit(main())
