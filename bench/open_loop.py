"""Open loop: requests that arrive at random, whether or not the earlier ones have a response."""

import argparse
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from bench import report
from bench.account_load import SETTINGS, AccountLoad, connected, opened
from bench.interleaved import postgres_server
from bench.load import LoadError, Responses
from bench.measure import Meter, request
from bench.processes import Snapshot
from bench.report import Target
from bench.scene import Scene, scene
from bench.systems import Running, Stage, service

SHARES = (0.25, 0.5, 0.75)
"""Loads, as parts of the capacity."""
LOADS: Mapping[str, Mapping[str, float]] = {
    "mints": {"mint": 1.0},
    "refreshes": {"refresh": 1.0},
    "mix": {"mint": 0.8, "refresh": 0.15, "sign-in": 0.05},
}
"""Kinds of requests of each load, with their parts."""
_WARM_UP = 200
_BUSY = b"HTTP/1.1 503 "
"""More sign-ins at once than the service hashes: a part of its behavior, which is reported."""

Make = Callable[[int], list[bytes]]


@dataclass(frozen=True, slots=True)
class Run:
    """
    What one load at one rate had.

    Attributes:
        rate: Arrivals per second.
        busy: Number of processors that all processes of the machine used.
        latencies: Seconds from the arrival to the response, by kind of request.
        refused: Number of responses 503.
    """

    database: str
    load: str
    share: float
    rate: float
    busy: float
    latencies: dict[str, list[float]]
    refused: int

    def cells(self) -> list[tuple[str, ...]]:
        """Return the rows of the table: one for each kind of request."""
        name = f"{self.load}, {self.database}"
        return [
            (
                name if len(self.latencies) == 1 else f"{name}: {kind}",
                f"{self.share:g}",
                f"{self.rate * LOADS[self.load][kind]:,.0f}",
                f"{len(latencies):,}",
                f"{self.busy:.1f}",
                *(f"{percentile(latencies, share):.2f}" for share in (0.5, 0.99, 0.999)),
            )
            for kind, latencies in self.latencies.items()
        ]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("--seconds", type=float, default=20, help="time of each load")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--trial", type=int, default=3_000, help="requests for the capacity")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--databases", nargs="+", default=["SQLite", "PostgreSQL"])
    parser.add_argument("--loads", nargs="+", choices=LOADS, default=[*LOADS])


def run(options: argparse.Namespace) -> int:
    """Measure each load on each database; 1 if a target is missed."""
    runs: list[Run] = []
    capacities: list[str] = []
    with postgres_server(fsync=True) as postgres, scene() as here:
        stage = Stage(here.folder, here.public_key_file, workers=options.workers, settings=SETTINGS)
        for name in options.databases:
            url = postgres.fresh_url() if name == "PostgreSQL" else ""
            with stage.running(service(database_url=url)) as running:
                url = url or f"sqlite:///{running.log.parent / 'tokensvc.db'}"
                with opened(url) as database:
                    load = AccountLoad(database, running.port)
                    load.create_accounts()
                    for each in options.loads:
                        bench = _Bench(options, here, running, load, each)
                        capacities.append(f"{each} on {name} {bench.capacity:,.0f}/s")
                        runs += [bench.run(name, share) for share in SHARES]
    times = ("p50 ms", "p99 ms", "p99.9 ms")
    columns = ("load", "of capacity", "arrivals/s", "requests", "processors", *times)
    parts = ", ".join(f"{part:.0%} {kind}" for kind, part in LOADS["mix"].items())
    text = (
        f"{options.workers} workers, {options.connections} connections, arrivals at random for "
        f"{options.seconds:g} s. Latency counts from the arrival, also while the request waits for "
        "a connection. `processors`: how many the service, the database and the load used. "
        "The capacity is that of a closed loop with the same requests: "
        f"{'; '.join(capacities)}. The mix is {parts}. PostgreSQL has fsync on. "
        f"Sign-ins refused with 503: {_refused(runs)}.\n\n"
        + report.table(columns, [row for done in runs for row in done.cells()])
    )
    return report.finish("open", text, _targets(runs), record=options.record)


class _Bench:
    """
    One load on a running service.

    Attributes:
        capacity: Requests per second of a closed loop.
    """

    def __init__(
        self,
        options: argparse.Namespace,
        here: Scene,
        running: Running,
        load: AccountLoad,
        name: str,
    ) -> None:
        self._options = options
        self._running = running
        self._load = name
        self._random = random.Random(0)
        self._make: dict[str, Make] = {
            "mint": lambda count: [
                request(credential, running.port) for credential in here.credentials.take(count)
            ],
            "refresh": load.refreshes,
            "sign-in": load.sign_ins,
        }
        Meter(here.credentials).first_response(running)
        self.capacity = self._measure_capacity()

    def run(self, database: str, share: float) -> Run:
        """Send requests at a part of the capacity."""
        rate = self.capacity * share
        gaps = [self._random.expovariate(rate) for _ in range(int(rate * self._options.seconds))]
        kinds, requests = self._requests(len(gaps))
        with connected(self._running, self._opening()) as connections:
            begun_at, before = time.monotonic(), Snapshot.take()
            responses = connections.arrive(requests, list(accumulate(gaps)))
            seconds, after = time.monotonic() - begun_at, Snapshot.take()
        return Run(
            database,
            self._load,
            share,
            rate,
            after.cpu_since(before, after.cpu) / seconds,
            _by_kind(kinds, responses),
            refused=_count_refused(responses),
        )

    def _measure_capacity(self) -> float:
        _, requests = self._requests(_WARM_UP + self._options.trial)
        with connected(self._running, self._opening()) as connections:
            connections.run(requests[:_WARM_UP])
            responses = connections.run(requests[_WARM_UP:])
        _count_refused(responses)
        return len(responses.latencies) / responses.seconds

    def _opening(self) -> list[bytes]:
        """Return a request for each connection, none of which takes long."""
        return self._make["mint"](self._options.connections)

    def _requests(self, count: int) -> tuple[list[str], list[bytes]]:
        """Return the kinds of requests, in random order, and the requests."""
        parts = LOADS[self._load]
        kinds = self._random.choices(list(parts), list(parts.values()), k=count)
        made = {kind: iter(self._make[kind](kinds.count(kind))) for kind in parts}
        return kinds, [next(made[kind]) for kind in kinds]


def percentile(latencies: Sequence[float], share: float) -> float:
    """Return a percentile in milliseconds."""
    ordered = sorted(latencies)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1e3


def _by_kind(kinds: Sequence[str], responses: Responses) -> dict[str, list[float]]:
    """Return the latencies of the responses that are no refusals."""
    latencies: dict[str, list[float]] = {kind: [] for kind in dict.fromkeys(kinds)}
    for number, latency in zip(responses.numbers, responses.latencies, strict=True):
        if number in responses.bodies:
            latencies[kinds[number]].append(latency)
    return dict(sorted(latencies.items()))


def _count_refused(responses: Responses) -> int:
    """
    Return the number of responses 503.

    Raises:
        LoadError: There is another refusal.
    """
    others = [response for response in responses.refused if not response.startswith(_BUSY)]
    if others:
        raise LoadError(f"refused: {others[0][:1000]!r}")
    return len(responses.refused)


def _refused(runs: Sequence[Run]) -> str:
    counts = [
        f"{one.refused} at {one.share:g} on {one.database}" for one in runs if one.load == "mix"
    ]
    return ", ".join(counts) or "not sent"


def _targets(runs: Sequence[Run]) -> list[Target]:
    return [
        Target(
            f"mints on {one.database} at half of the capacity: {name}",
            [percentile(one.latencies["mint"], share)],
            limit,
            " ms",
        )
        for one in runs
        if one.load == "mints" and one.share == 0.5
        for name, share, limit in (("p99", 0.99, 10), ("p99.9", 0.999, 50))
    ]
