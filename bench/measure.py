"""Rounds of load against one system, and what each round cost."""

import base64
import contextlib
import hmac
import json
import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from bench.credentials import Credential, CredentialSource
from bench.load import Connections, LoadError, Responses
from bench.processes import Snapshot, on_cores, serving_processes, voluntary_switches
from bench.systems import STREAM_API_KEY, STREAM_API_SECRET, Running

MAX_FOREIGN = 0.10
"""Share of one core that other processes may use in a round."""


@dataclass(frozen=True, slots=True)
class Round:
    """
    The figures of one round.

    Attributes:
        cpu: Microseconds of CPU time per request, of all processes of the server.
        switches: Voluntary context switches per request.
        rate: Requests per second.
        latencies: Seconds of each response.
        foreign: Share of one core that other processes used.
        others: Microseconds of CPU time per request, of other processes that work for the system.
    """

    cpu: float
    switches: float
    rate: float
    latencies: list[float]
    foreign: float
    others: float

    @property
    def is_quiet(self) -> bool:
        """Whether other processes were idle enough."""
        return self.foreign <= MAX_FOREIGN


class Meter:
    """
    Measures systems, with a new credential for each request.

    Args:
        credentials: Source of credentials.
        cores: Cores of the load; None for all.
        repeats: Number of times that a round is repeated while other processes disturb it.
        repeat_until: Time on `time.monotonic` after which no round is repeated.
    """

    def __init__(
        self,
        credentials: CredentialSource,
        cores: Collection[int] | None = None,
        repeats: int = 0,
        repeat_until: float = float("inf"),
    ) -> None:
        self._credentials = credentials
        self._cores = cores or os.sched_getaffinity(0)
        self._repeats = repeats
        self._repeat_until = repeat_until

    def may_repeat(self, repeated: int) -> bool:
        """Return whether a round may be repeated once more."""
        return repeated < self._repeats and time.monotonic() < self._repeat_until

    def first_response(self, running: Running) -> float:
        """Request one token, and return the seconds from the start of the process to it."""
        with self.connected(running, 1, [running.leader]):
            return time.perf_counter() - running.started_at

    @contextlib.contextmanager
    def connected(
        self, running: Running, connections: int, workers: Sequence[int] = ()
    ) -> Iterator["Measured"]:
        """Keep connections to a system open until the block ends."""
        workers = workers or serving_processes(running.leader)
        opened = Connections(running.port, connections, workers)
        measured = Measured(running, opened, self._credentials, self._cores, self.may_repeat)
        measured.open(connections)
        try:
            yield measured
        finally:
            opened.close()


class Measured:
    """A system with open connections; made by `Meter.connected`."""

    def __init__(
        self,
        running: Running,
        connections: Connections,
        credentials: CredentialSource,
        cores: Collection[int],
        may_repeat: Callable[[int], bool],
    ) -> None:
        self.running = running
        self._connections = connections
        self._credentials = credentials
        self._cores = cores
        self._may_repeat = may_repeat

    def open(self, count: int) -> None:
        """Open the connections with one request each."""
        asked = self._credentials.take(count)
        with self._explained():
            responses = self._connections.open(self.requests(asked))
        self.check(responses, asked)

    def round(self, count: int, extra_processes: Collection[int] = ()) -> Round:
        """
        Mint `count` tokens, check each, and return what they cost.

        Args:
            count: Number of requests.
            extra_processes: Other processes that work for the system, such as its database.
        """
        best = self._one_round(count, extra_processes)
        repeated = 0
        while not best.is_quiet and self._may_repeat(repeated):
            best = min(best, self._one_round(count, extra_processes), key=lambda it: it.foreign)
            repeated += 1
        return best

    def _one_round(self, count: int, extra_processes: Collection[int]) -> Round:
        asked = self._credentials.take(count)
        run = partial(self.run, self.requests(asked))
        responses, done = measure(run, count, [self.running.leader], extra_processes)
        self.check(responses, asked)
        return done

    def mint(self, count: int) -> None:
        """Mint `count` tokens without measuring."""
        asked = self._credentials.take(count)
        self.check(self.run(self.requests(asked)), asked)

    def run(self, requests: Sequence[bytes], seconds: float = float("inf")) -> Responses:
        """Send requests, at most for some seconds."""
        with on_cores(self._cores), self._explained():
            return self._connections.run(requests, seconds)

    def requests(self, asked: Sequence[Credential]) -> list[bytes]:
        """Return a mint for each credential."""
        return [request(credential, self.running.port) for credential in asked]

    def check(self, responses: Responses, asked: Sequence[Credential]) -> None:
        """
        Check that each response has a token, which is signed and for the right user.

        Raises:
            LoadError: A response does not, or a request was refused.
        """
        with self._explained():
            if responses.refused:
                raise LoadError(f"refused: {responses.refused[0][:1000]!r}")
            for index, body in responses.bodies.items():
                token = json.loads(body)["token"]
                if not self.running.system.has_real_tokens:
                    continue
                if _user_of(token) != asked[index].user_id:
                    raise LoadError(f"minted for another user than {asked[index].user_id}")

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (LoadError, OSError) as error:
            log = self.running.log_tail()
            raise LoadError(f"{self.running.system.name}: {error}\n{log}") from error


def measure(
    run: Callable[[], Responses], count: int, roots: Collection[int], others: Collection[int] = ()
) -> tuple[Responses, Round]:
    """
    Return the responses to a load, and what each request cost.

    Args:
        run: Sends the requests.
        count: Number of requests.
        roots: Processes whose CPU time counts, with all that they started.
        others: Other processes that work for the system.
    """
    before = Snapshot.take()
    switches = voluntary_switches(before.descendants(roots))
    responses = run()
    after = Snapshot.take()
    server, helping = after.descendants(roots), after.descendants(others)
    foreign = after.cpu.keys() - server - helping - after.descendants([os.getpid()])
    return responses, Round(
        cpu=after.cpu_since(before, server) / count * 1e6,
        switches=(voluntary_switches(server) - switches) / count,
        rate=count / responses.seconds,
        latencies=responses.latencies,
        foreign=after.cpu_since(before, foreign) / responses.seconds,
        others=after.cpu_since(before, helping) / count * 1e6,
    )


def request(credential: Credential, port: int) -> bytes:
    """Return the bytes of a mint."""
    body = json.dumps({"user_id": credential.user_id, "api_key": STREAM_API_KEY})
    return (
        f"POST /v1/token HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: bench\r\n"
        f"Accept: application/json\r\nAuthorization: Bearer {credential.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode("ascii")


def _user_of(token: str) -> object:
    signing_input, _, signature = token.rpartition(".")
    expected = hmac.digest(STREAM_API_SECRET.encode(), signing_input.encode(), "sha256")
    if not hmac.compare_digest(_decode(signature), expected):
        raise LoadError("a token is not signed with the Stream secret")
    return json.loads(_decode(signing_input.partition(".")[2]))["user_id"]


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
