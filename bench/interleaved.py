"""Interleaved rounds of systems with one worker each, next to a PostgreSQL server."""

import argparse
import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

from bench.compare import NO_LIMIT, split_cores
from bench.measure import Meter, Round
from bench.scene import Scene
from bench.systems import Stage, System
from testing.postgres import PostgresServer

CONNECTIONS = 16


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the rounds."""
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--requests", type=int, default=800, help="requests of a round")
    parser.add_argument(
        "--repeats", type=int, default=3, help="times a round is repeated if others disturb it"
    )


@contextlib.contextmanager
def postgres_server(*, fsync: bool = False) -> Iterator[PostgresServer]:
    """Run a PostgreSQL server until the block ends. With `fsync`, a commit is on disk."""
    server = PostgresServer()
    try:
        if fsync:
            with server.connection() as connection:
                connection.execute("ALTER SYSTEM SET fsync = on")
                connection.execute("SELECT pg_reload_conf()")
        yield server
    finally:
        server.remove()


def measure(
    options: argparse.Namespace,
    here: Scene,
    systems: Sequence[System],
    postgres: PostgresServer,
    *,
    is_pinned: bool = False,
    next_to: Callable[[int], AbstractContextManager[object]] = contextlib.nullcontext,
) -> list[list[Round]]:
    """
    Return the rounds of each system. `others` is PostgreSQL, if the system uses it.

    Args:
        is_pinned: Whether the systems have one core and the load another.
        next_to: What else happens to the port of each system during the rounds.
    """
    cores, load_cores = split_cores(is_pinned=is_pinned)
    stage = Stage(here.folder, here.public_key_file, workers=1, cores=cores, settings=NO_LIMIT)
    meter = Meter(here.credentials, load_cores, repeats=options.repeats)
    with contextlib.ExitStack() as stack:
        connected = []
        for system in systems:
            running = stack.enter_context(stage.running(system))
            connected.append(stack.enter_context(meter.connected(running, CONNECTIONS)))
        for measured in connected:
            measured.mint(options.requests)
            stack.enter_context(next_to(measured.running.port))
        rounds: list[list[Round]] = [[] for _ in systems]
        for _ in range(options.rounds):
            for measured, done in zip(connected, rounds, strict=True):
                extra = [postgres.pid] if measured.running.system.database_url else []
                done.append(measured.round(options.requests, extra))
    return rounds
