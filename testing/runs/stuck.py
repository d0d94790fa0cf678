"""
A part outside the service hangs, refuses or fails, and later works again.

While it fails, 40 clients request tokens at the same time, then 40 more. Meanwhile one client
requests `/healthz` and `/readyz` in turn, each on a new connection. Afterwards a client requests a
token again and again, until one is minted.
"""

import contextlib
import http.client
import json
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from testing.database_url import migrated_settings
from testing.doubles.issuer import IssuerDouble
from testing.postgres import PostgresServer
from testing.redis_server import RedisServer
from testing.runs import stuck_parts
from testing.runs.stuck_parts import NamedPart
from testing.service import STREAM_API_KEY, Service, running_service
from testing.waiting import wait_until

CLIENTS = 40
FIRST, LATER, HEALTHZ, READYZ, RETURN = 5.0, 0.5, 0.5, 1.0, 5.0
"""Accepted seconds: of a response at first and later, of both probes, until a mint works again."""
_PAUSE = 0.05


class Result(NamedTuple):
    """
    A response, or a broken connection.

    Attributes:
        status: HTTP status; 0 if the connection broke.
        has_retry_after: Whether the response has the field `Retry-After`.
        seconds: Time from the connection to the end of the response.
    """

    status: int
    has_retry_after: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class Case:
    """
    One way to fail.

    Attributes:
        status: Status of mints during the fault.
        part: Context manager that runs the part, and yields it and the settings of the service.
        begin: Function that starts the fault.
        end: Function that ends it.
    """

    status: int
    part: Callable[[], AbstractContextManager[tuple[Any, dict[str, str]]]]
    begin: Callable[[Any], object]
    end: Callable[[Any], object]


@dataclass
class Figures:
    """
    The responses during one fault and after it.

    Attributes:
        name: Name of the case.
        status: Expected status of mints during the fault.
        first: Responses to the mints that are sent together when the fault has begun.
        later: Responses to as many mints after those.
        healthz: Responses of `/healthz` meanwhile.
        readyz: Responses of `/readyz` meanwhile.
        return_seconds: Time from the end of the fault to the first mint.
        logged: Number of log lines by event, except the line of each request.
    """

    name: str
    status: int
    first: list[Result] = field(default_factory=list)
    later: list[Result] = field(default_factory=list)
    healthz: list[Result] = field(default_factory=list)
    readyz: list[Result] = field(default_factory=list)
    return_seconds: float = float("inf")
    logged: Counter[str] = field(default_factory=Counter)

    @property
    def holds(self) -> bool:
        """Whether every response had the expected status, and arrived in time."""
        return self.has_expected_states and self.is_timely

    @property
    def has_expected_states(self) -> bool:
        """Whether every response had the expected status, and no request a log line of its own."""
        mints = self.first + self.later
        return (
            len(mints) == 2 * CLIENTS
            and all(mint.status == self.status for mint in mints)
            and all(mint.has_retry_after for mint in mints if mint.status == 503)
            and all(probe.status == 200 for probe in self.healthz)
            and all(probe.status in {200, 503} for probe in self.readyz)
            and all(number < CLIENTS / 2 for number in self.logged.values())
        )

    @property
    def is_timely(self) -> bool:
        """Whether every response arrived in time, and mints worked soon after the return."""
        return (
            self.return_seconds <= RETURN
            and _worst(self.first) <= FIRST
            and _worst(self.later) <= LATER
            and _worst(self.healthz) <= HEALTHZ
            and _worst(self.readyz) <= READYZ
        )

    def lines(self) -> Iterator[str]:
        """Yield the figures as text."""
        yield f"  {self.name}"
        for what in ("first", "later", "healthz", "readyz"):
            found: list[Result] = getattr(self, what)
            statuses = Counter(response.status for response in found)
            counted = ", ".join(f"{number} with {status}" for status, number in statuses.items())
            typical = median(response.seconds for response in found) if found else 0.0
            yield f"    {what:<8} {counted:<22} median {typical:.3f} s, worst {_worst(found):.3f}"
        yield f"    a mint works {self.return_seconds:.2f} s after the return"
        yield "    logged   " + ", ".join(f"{n} {event}" for event, n in self.logged.items())


def prove(names: list[str]) -> Iterator[Figures]:
    """Yield the figures of these cases."""
    for name in names:
        case = CASES[name]
        with (
            tempfile.TemporaryDirectory() as folder,
            IssuerDouble() as issuer,
            case.part() as (part, settings),
            running_service(
                Path(folder),
                getattr(part, "prefix", ()),
                TOKENSVC_ISSUERS=json.dumps([issuer.config()]),
                TOKENSVC_LIMITS__MINT="1000000/minute",
                TOKENSVC_LOG__FORMAT="json",
                **settings,
            ) as service,
        ):
            clients = _Clients(service, issuer)
            wait_until(lambda: clients.mint().status == 200, "a mint works")  # noqa: B023 - now
            figures = Figures(name, case.status)
            lines_before = len(service.log_lines())
            case.begin(part)
            try:
                with clients.probing(figures):
                    figures.first = clients.mint_together()
                    figures.later = clients.mint_together()
            finally:
                case.end(part)
            figures.return_seconds = clients.seconds_until_a_mint()
            lines = service.log_lines()[lines_before:]
            figures.logged = Counter(line["event"] for line in lines if line["event"] != "request")
            yield figures


class _Clients:
    def __init__(self, service: Service, issuer: IssuerDouble) -> None:
        self._address = service.base_url.removeprefix("http://")
        self._issuer = issuer

    def mint(self) -> Result:
        headers = {
            "Authorization": f"Bearer {self._issuer.token()}",
            "Content-Type": "application/json",
        }
        return self._request("POST", "/v1/token", json.dumps({"api_key": STREAM_API_KEY}), headers)

    def mint_together(self) -> list[Result]:
        with ThreadPoolExecutor(CLIENTS) as pool:
            return [sent.result() for sent in [pool.submit(self.mint) for _ in range(CLIENTS)]]

    def seconds_until_a_mint(self) -> float:
        start = time.monotonic()
        wait_until(lambda: self.mint().status == 200, "a mint works again")
        return time.monotonic() - start

    @contextlib.contextmanager
    def probing(self, figures: Figures) -> Iterator[None]:
        is_over = threading.Event()

        def probe() -> None:
            while not is_over.is_set():
                figures.healthz.append(self._request("GET", "/healthz"))
                figures.readyz.append(self._request("GET", "/readyz"))
                is_over.wait(_PAUSE)

        thread = threading.Thread(target=probe)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()

    def _request(
        self, method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None
    ) -> Result:
        connection = http.client.HTTPConnection(self._address, timeout=60)
        start = time.perf_counter()
        status, has_retry_after = 0, False
        with (
            contextlib.closing(connection),
            contextlib.suppress(OSError, http.client.HTTPException),
        ):
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            response.read()
            status, has_retry_after = response.status, "Retry-After" in response.headers
        return Result(status, has_retry_after, time.perf_counter() - start)


def _worst(responses: list[Result]) -> float:
    return max((response.seconds for response in responses), default=float("inf"))


@contextlib.contextmanager
def _postgresql() -> Iterator[tuple[PostgresServer, dict[str, str]]]:
    server = PostgresServer()
    try:
        yield server, migrated_settings(server.fresh_url())
    finally:
        server.remove()


@contextlib.contextmanager
def _named_postgresql() -> Iterator[tuple[Any, dict[str, str]]]:
    with _postgresql() as part, stuck_parts.named_database(part) as named:
        yield named


CASES = {
    "database stopped": Case(503, _postgresql, PostgresServer.freeze, PostgresServer.thaw),
    "database refuses": Case(503, _postgresql, PostgresServer.stop, PostgresServer.start),
    "database has no connection left": Case(
        200, _postgresql, PostgresServer.use_up_connections, PostgresServer.release_connections
    ),
    "redis stopped": Case(200, stuck_parts.redis_server, RedisServer.freeze, RedisServer.thaw),
    "name server silent, for redis": Case(
        200, stuck_parts.named_redis, NamedPart.freeze, NamedPart.thaw
    ),
    "name server silent, for the database": Case(
        503, _named_postgresql, NamedPart.freeze, NamedPart.thaw
    ),
}
"""The ways to fail, by name."""
