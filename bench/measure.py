"""Rounds of load for each system in turn, and the cost of each round."""

import base64
import hmac
import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from bench.credentials import Credential
from bench.load import Load, LoadError, drive
from bench.systems import BARE, STREAM_API_KEY, STREAM_API_SECRET, Running


@dataclass(frozen=True, slots=True)
class Round:
    """
    The results of one round of one system.

    Attributes:
        cpu: Microseconds of processor time per request, over the whole process group.
        rate: Requests per second.
        p50: Median latency in milliseconds.
        p99: 99th percentile of the latency in milliseconds.
    """

    cpu: float
    rate: float
    p50: float
    p99: float


class Meter:
    """
    A meter that uses each credential once.

    Args:
        credentials: Enough credentials for all rounds.
        loader: Process that creates the load.
        connections: Number of kept-alive connections.
    """

    def __init__(
        self, credentials: Iterator[Credential], loader: Executor, connections: int
    ) -> None:
        self._credentials = credentials
        self._loader = loader
        self._connections = connections

    def first_response(self, running: Running) -> float:
        """Request a token. Return the seconds from the start of the process to the response."""
        self._drive(running, 1, connections=1, workers=[running.group.leader])
        return time.perf_counter() - running.started_at

    def round(self, running: Running, requests: int) -> Round:
        """Send `requests` mints to a system, check each response, and return the cost."""
        before = running.group.cpu_seconds()
        load = self._drive(running, requests, self._connections, running.group.workers())
        cpu = running.group.cpu_seconds() - before
        ordered = sorted(load.latencies)
        return Round(
            cpu=cpu / requests * 1e6,
            rate=len(ordered) / load.seconds,
            p50=ordered[len(ordered) // 2] * 1e3,
            p99=ordered[len(ordered) * 99 // 100] * 1e3,
        )

    def _drive(
        self, running: Running, count: int, connections: int, workers: Sequence[int]
    ) -> Load:
        credentials = [next(self._credentials) for _ in range(count)]
        requests = [_request(credential, running.port) for credential in credentials]
        try:
            load = self._loader.submit(drive, running.port, requests, connections, workers).result()
        except LoadError as error:
            raise LoadError(f"{running.system.name} {error}\n{running.log_tail()}") from error
        _check(load.bodies, None if running.system is BARE else credentials)
        return load


def _request(credential: Credential, port: int) -> bytes:
    body = json.dumps({"user_id": credential.user_id, "api_key": STREAM_API_KEY})
    return (
        f"POST /v1/token HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: bench\r\n"
        f"Accept: application/json\r\nAuthorization: Bearer {credential.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode("ascii")


def _check(bodies: Sequence[bytes], credentials: Sequence[Credential] | None) -> None:
    """Check that each response contains a token, signed for its user unless it is a placeholder."""
    for index, body in enumerate(bodies):
        token = json.loads(body)["token"]
        if credentials is not None and _user_of(token) != credentials[index].user_id:
            raise LoadError(f"minted for a user other than {credentials[index].user_id}")
        if not token.startswith("eyJ"):
            raise LoadError(f"responded without a token: {body!r}")


def _user_of(token: str) -> object:
    signing_input, _, signature = token.rpartition(".")
    expected = hmac.digest(STREAM_API_SECRET.encode(), signing_input.encode(), "sha256")
    if not hmac.compare_digest(_decode(signature), expected):
        raise LoadError("a token is not signed with the Stream secret")
    return json.loads(_decode(signing_input.partition(".")[2]))["user_id"]


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
