"""
Rotation under load fails no request.

Apps and a backend mint and connect at a constant rate. Meanwhile the Stream key, the backend's
secret and the encryption keys are rotated repeatedly, each with the steps of the documentation. No
request may fail, and Stream must not refuse a token.
"""

import contextlib
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from testing.doubles.issuer import IssuerDouble
from testing.doubles.stream_calls import connects
from testing.runs.rotation_fleet import RotationFleet, start_fleet
from testing.runs.steady_load import Credentials, Ledger, SteadyClient

USERS = 200
INTERVAL = 0.2
"""Seconds between two requests of a client."""


@dataclass
class Figures:
    """
    Figures of a run.

    Attributes:
        seconds: Duration of the load.
        ledger: Results of the load.
        rotations: Number of rotations by kind.
    """

    seconds: float
    ledger: Ledger
    rotations: dict[str, int]

    @property
    def holds(self) -> bool:
        """Whether nothing failed, and everything was rotated."""
        ledger = self.ledger
        return (
            not ledger.failures
            and not ledger.refused
            and ledger.connects == ledger.requests > 0
            and min(self.rotations.values()) > 0
        )

    def lines(self) -> Iterator[str]:
        """Yield the figures as text."""
        ledger = self.ledger
        latencies = sorted(ledger.latencies) or [0.0]
        yield f"{self.seconds:.0f} s of minting and connecting"
        yield ", ".join(f"{kind} rotated {count} times" for kind, count in self.rotations.items())
        yield (
            f"{ledger.requests} requests, {len(ledger.failures)} failed, "
            f"{ledger.repeats} repeated on a new connection"
        )
        yield f"{ledger.connects} tokens used at Stream, {len(ledger.refused)} refused"
        yield (
            f"latency: median {statistics.median(latencies) * 1000:.1f} ms, "
            f"p99 {latencies[int(len(latencies) * 0.99) - 1] * 1000:.1f} ms, "
            f"maximum {latencies[-1] * 1000:.1f} ms"
        )
        yield from (f"  {failure}" for failure in (*ledger.failures[:5], *ledger.refused[:5]))


def prove(seconds: float, *, database: str = "postgresql") -> Figures:
    """
    Rotate under load, each kind at least once.

    Args:
        seconds: Minimum duration of the load.
        database: `sqlite` for one instance of two workers, `postgresql` for two.
    """
    ledger = Ledger()
    with contextlib.ExitStack() as stack:
        issuer = stack.enter_context(IssuerDouble())
        issuer.issuer = "https://id.acme.example"
        fleet = start_fleet(stack, database, issuer)
        bearers = [f"Bearer {issuer.token(sub=f'user{number}')}" for number in range(USERS)]
        fleet.clients = list(_clients(fleet, bearers, ledger))
        for client in fleet.clients:
            client.start()
        start = time.monotonic()
        while time.monotonic() < start + seconds or not any(fleet.rotations.values()):
            fleet.rotate_stream_key()
            fleet.rotate_client_secret()
            fleet.rotate_encryption_key()
        for client in fleet.clients:
            client.stop()
        for client in fleet.clients:
            client.join()
        elapsed = time.monotonic() - start
    return Figures(elapsed, ledger, fleet.rotations)


def _clients(fleet: RotationFleet, bearers: list[str], ledger: Ledger) -> Iterator[SteadyClient]:
    """Yield three apps and a backend for each instance. One of the apps names no key."""

    def app(credentials: Credentials, number: int) -> tuple[str, dict[str, Any]]:
        return bearers[number % USERS], {"api_key": credentials.api_key}

    def app_without_key(_: Credentials, number: int) -> tuple[str, dict[str, Any]]:
        return bearers[number % USERS], {}

    def backend(credentials: Credentials, number: int) -> tuple[str, dict[str, Any]]:
        user_id = f"user{number % USERS}"
        return credentials.basic, {"user_id": user_id, "api_key": credentials.api_key}

    for service in fleet.services:
        for request in (app, app, app_without_key, backend):
            yield SteadyClient(
                service.base_url,
                request,
                lambda minted: connects(fleet.stream, minted),
                credentials=fleet.credentials,
                ledger=ledger,
                interval=INTERVAL,
            )
