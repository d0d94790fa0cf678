"""
Rotation that nobody notices: `python -m proofs.rotation --seconds 60`.

Apps and a backend mint and connect at a steady pace while the Stream key, the backend's secret and
the encryption keys are changed over and over, each in the order that the documentation gives.
Proved is that no request fails and that Stream refuses no token.
"""

import contextlib
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from testing.doubles.issuer import IssuerDouble
from testing.rotation import connects
from testing.runs.rotation_fleet import Fleet, start_fleet
from testing.runs.steady_load import Credentials, Ledger, SteadyClient

USERS = 200
PACE = 0.2
"""Seconds between two turns of a client."""


@dataclass
class Figures:
    """What is proved."""

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
        """Write them for people."""
        ledger = self.ledger
        latencies = sorted(ledger.latencies) or [0.0]
        yield f"{self.seconds:.0f} s of minting and connecting"
        yield ", ".join(f"{what} changed {count} times" for what, count in self.rotations.items())
        yield (
            f"{ledger.requests} requests, {len(ledger.failures)} failed, "
            f"{ledger.repeats} repeated on a new connection"
        )
        yield f"{ledger.connects} tokens used at Stream, {len(ledger.refused)} refused"
        yield (
            f"latency: median {statistics.median(latencies) * 1000:.1f} ms, "
            f"p99 {latencies[int(len(latencies) * 0.99) - 1] * 1000:.1f} ms, "
            f"worst {latencies[-1] * 1000:.1f} ms"
        )
        for told in (*ledger.failures[:5], *ledger.refused[:5]):
            yield f"  {told}"


def prove(seconds: float, *, database: str = "postgresql") -> Figures:
    """
    Load and rotate for so long, all three kinds once at least.

    Args:
        seconds: Of load.
        database: `sqlite`, one instance of two workers; `postgresql`, two of them.
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


def _clients(fleet: Fleet, bearers: list[str], ledger: Ledger) -> Iterator[SteadyClient]:
    """Give for each instance two apps, one that names no key, and the backend."""

    def app(held: Credentials, turn: int) -> tuple[str, dict[str, Any]]:
        return bearers[turn % USERS], {"api_key": held.api_key}

    def nameless(_: Credentials, turn: int) -> tuple[str, dict[str, Any]]:
        return bearers[turn % USERS], {}

    def backend(held: Credentials, turn: int) -> tuple[str, dict[str, Any]]:
        return held.basic, {"user_id": f"user{turn % USERS}", "api_key": held.api_key}

    for service in fleet.services:
        for request in (app, app, nameless, backend):
            yield SteadyClient(
                service.base_url,
                request,
                lambda answer: connects(fleet.stream, answer),
                credentials=fleet.held,
                ledger=ledger,
                pace=PACE,
            )
