"""What each part of our own brings next to the stock part, in one run."""

import argparse
import contextlib
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from operator import itemgetter
from pathlib import Path
from statistics import median

from limits import RateLimitItemPerMinute
from limits.storage import storage_from_string
from limits.strategies import FixedWindowRateLimiter, SlidingWindowCounterRateLimiter
from pydantic import SecretStr

from bench import interleaved, report
from bench.account_load import checked
from bench.compare import NO_LIMIT
from bench.credentials import USERS
from bench.interleaved import CONNECTIONS
from bench.load import Connections, LoadError
from bench.measure import request
from bench.report import Target
from bench.scene import Scene, scene
from bench.systems import Stage, System, gunicorn, service
from testing.postgres import PostgresServer
from testing.redis_server import RedisServer
from testing.runs.slow_clients import dripping
from testing.service import ROOT
from testing.waiting import wait_until
from tokensvc.limits.service import Limiter
from tokensvc.limits.settings import LimitSettings

add_options = interleaved.add_options
_STRATEGIES = FixedWindowRateLimiter, SlidingWindowCounterRateLimiter
_SLOW = 200
_FIRST = 20
_HASHES = 20
_HASH = f"""
import time
from argon2.low_level import Type, hash_secret_raw
start = time.process_time()
for _ in range({_HASHES}):
    hash_secret_raw(b"a password", b"a salt of 16 byt", 2, 19 * 1024, 1, 32, Type.ID)
print((time.process_time() - start) / {_HASHES} * 1e3)
"""


def run(options: argparse.Namespace) -> int:
    """Measure each part; 1 if a target is missed."""
    with interleaved.postgres_server() as postgres, scene() as here:
        workers, targets = _workers(options, here, postgres)
        starts = _starts(options, here, postgres)
        hashes = _hashes(options, here.folder)
    text = (
        f"**Worker** (`server/`): one worker, {CONNECTIONS} connections, medians of "
        f"{options.rounds} interleaved rounds. A slow client sends one byte of a request a second."
        f"\n\n{workers}\n\n**Limits**: {USERS:,} keys in turn; CPU time of all threads of the "
        "process that counts. `remaining` is what the RateLimit fields of a response need: ours "
        "returns it with each hit; the other rows are strategies of the `limits` library.\n\n"
        f"{_limits(options)}\n\n**First look of a worker**: PostgreSQL, one connection, medians of "
        f"{options.rounds} starts.\n\n{starts}\n\n"
        f"**Build of argon2**: m = 19 MiB, t = 2, p = 1.\n\n{hashes}"
    )
    return report.finish("parts", text, targets, record=options.record)


def _changed(system: System, change: str) -> System:
    command = gunicorn("bench.peers.changed_service", "tokensvc.wsgi:app")
    return replace(system, command=command, environ={"BENCH_CHANGE": change})


def _workers(
    options: argparse.Namespace, here: Scene, postgres: PostgresServer
) -> tuple[str, list[Target]]:
    rows: list[Sequence[str]] = []
    targets = []
    for load in ("pinned to a core", "a core free", "1 ms added to each read of PostgreSQL"):
        is_delayed = load.startswith("1 ms")
        ours, theirs = (
            _changed(service(database_url=postgres.fresh_url()), "delay")
            if is_delayed
            else service()
            for _ in range(2)
        )
        systems = (ours, _on_gthread(theirs))
        rounds = interleaved.measure(options, here, systems, postgres, is_pinned="pinned" in load)
        ratios = report.ratios(*rounds)
        rows += [
            (load, system.name, *report.figures(done))
            for system, done in zip(systems, rounds, strict=True)
        ]
        targets.append(Target(f"{load}: CPU / on gthread", ratios, 1))
    for system in (service(), _on_gthread(service())):
        try:
            (done,) = interleaved.measure(options, here, [system], postgres, next_to=_slow_clients)
            figures = report.figures(done)
        except LoadError as error:
            figures = ["-"] * 4 + [str(error).splitlines()[0]]
        rows.append((f"{_SLOW} slow clients", system.name, *figures))
    return report.table(("load", "system", *report.FIGURES), rows), targets


def _on_gthread(system: System) -> System:
    environ = {**system.environ, "GUNICORN_CMD_ARGS": "-k gthread"}
    return replace(system, name="tokensvc on gthread", environ=environ)


def _slow_clients(port: int) -> AbstractContextManager[None]:
    return dripping(f"http://127.0.0.1:{port}", b"A", b"A", count=_SLOW, pause=1.0)


def _limits(options: argparse.Namespace) -> str:
    redis = RedisServer()
    try:
        hits = {**_hits("memory", ""), **_hits("Redis", redis.url)}
        costs: dict[str, list[float]] = {name: [] for name in hits}
        for _ in range(options.rounds + 1):
            for name, calls in hits.items():
                start = time.process_time()
                for number, call in itertools.product(range(USERS), calls):
                    call(f"user-{number}")
                costs[name].append((time.process_time() - start) / USERS * 1e6)
    finally:
        redis.remove()
    rows = [(name, report.spread(cost[1:], digits=1)) for name, cost in costs.items()]
    return report.table(("limits", "CPU us/hit"), rows)


def _hits(store: str, url: str) -> dict[str, list[Callable[[str], object]]]:
    """Return what is called for a hit, by name of the row."""
    ours = Limiter(LimitSettings(mint=NO_LIMIT["TOKENSVC_LIMITS__MINT"]), SecretStr(url) or None)
    item = RateLimitItemPerMinute(1_000_000)
    hits: dict[str, list[Callable[[str], object]]] = {f"{store}: ours": [partial(ours.hit, "mint")]}
    for kind, is_full in itertools.product(_STRATEGIES, (False, True)):
        limiter = kind(storage_from_string(url or "memory://"))
        name = f"{store}: `{kind.__name__}`{' and `remaining`' * is_full}"
        hits[name] = [partial(limiter.hit, item)]
        if is_full:
            hits[name].append(partial(limiter.get_window_stats, item))
    return hits


def _starts(options: argparse.Namespace, here: Scene, postgres: PostgresServer) -> str:
    stage = Stage(here.folder, here.public_key_file, workers=1, settings=NO_LIMIT)
    usual = service(revoked_users=0, database_url=postgres.fresh_url())
    both = {"with": usual, "without": _changed(usual, "no look")}
    starts: dict[str, list[list[float]]] = {look: [] for look in both}
    for _, (look, system) in itertools.product(range(options.rounds), both.items()):
        starts[look].append(_first_requests(here, stage, system))
    figures = (itemgetter(0), lambda times: max(times[1:]), median)
    rows = [
        (f"{look} the look", *(report.spread([*map(figure, times)]) for figure in figures))
        for look, times in starts.items()
    ]
    columns = ("start", "first ms", f"worst of the next {_FIRST - 1} ms", f"p50 of {_FIRST} ms")
    return report.table(columns, rows)


def _first_requests(here: Scene, stage: Stage, system: System) -> list[float]:
    """Start a system, and return the milliseconds of each of its first requests."""
    with stage.running(system) as running:
        wait_until(lambda: "connections_fit" in running.log.read_text(), "the worker serves")
        requests = [request(one, running.port) for one in here.credentials.take(_FIRST)]
        connections = Connections(running.port, 1, [running.leader])
        with contextlib.closing(connections):
            done = checked(connections.open(requests[:1])), checked(connections.run(requests[1:]))
    return [seconds * 1e3 for responses in done for seconds in responses.latencies]


def _hashes(options: argparse.Namespace, folder: Path) -> str:
    compiler = ROOT / "deploy" / "compile-argon2"
    compiled = subprocess.run([compiler, folder], capture_output=True, check=False)
    builds = {"wheel": folder / "none", "compiled for x86-64-v3": folder / "x86-64-v3"}
    if compiled.returncode or not builds["compiled for x86-64-v3"].is_dir():
        return "It could not be compiled here."
    figures: dict[str, list[float]] = {name: [] for name in builds}
    for _, (name, path) in itertools.product(range(options.rounds), builds.items()):
        environ = {**os.environ, "PYTHONPATH": str(path)}
        output = subprocess.check_output([sys.executable, "-c", _HASH], env=environ)
        figures[name].append(float(output))
    rows = [(name, report.spread(times)) for name, times in figures.items()]
    return report.table(("build", "CPU ms/hash"), rows)
