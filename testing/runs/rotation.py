"""
Rotation under load fails no request.

Apps and a backend mint and connect at a constant rate; one of the apps has a session, which it
refreshes before each mint. Meanwhile the Stream key, the backend's secret, the encryption keys and
the keys of access tokens are rotated repeatedly, each with the steps of the documentation. No
request may fail, and Stream must not refuse a token. Other users are suspended, renewed, erased and
logged out at the provider meanwhile, which Stream must learn, whichever keys it knows.
"""

import contextlib
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import urllib3

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
        acted_on: Number of other users on whom was acted meanwhile, as Stream has learned.
    """

    seconds: float
    ledger: Ledger
    rotations: dict[str, int]
    acted_on: int = 0

    @property
    def holds(self) -> bool:
        """Whether nothing failed, and everything was rotated."""
        ledger = self.ledger
        return (
            not ledger.failures
            and not ledger.refused
            and ledger.connects == ledger.requests > 0
            and min(*self.rotations.values(), self.acted_on) > 0
        )

    def lines(self) -> Iterator[str]:
        """Yield the figures as text."""
        ledger = self.ledger
        yield f"{self.acted_on} users suspended, renewed, erased or logged out, as Stream knows"
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
            signing_key = fleet.add_signing_key()
            fleet.rotate_stream_key()
            fleet.act_on_users(issuer)
            fleet.rotate_client_secret()
            fleet.rotate_encryption_key()
            fleet.wait_for_signing_key(signing_key)
        for client in fleet.clients:
            client.stop()
        for client in fleet.clients:
            client.join()
        fleet.wait_for_delivery()
        elapsed = time.monotonic() - start
    return Figures(elapsed, ledger, fleet.rotations, len(fleet.acted_on))


class _Session:
    """
    An app with a session of a built-in account.

    Args:
        base_url: URL of its instance.
        refresh_token: First refresh token.
    """

    def __init__(self, base_url: str, refresh_token: str) -> None:
        self._url = f"{base_url}/oauth/token"
        self._refresh_token = refresh_token
        self._http = urllib3.PoolManager(retries=False, timeout=30.0)

    def request(self, credentials: Credentials, _number: int) -> tuple[str, dict[str, Any]]:
        """Refresh the session, and return the next request for a token."""
        response = self._http.request(
            "POST",
            self._url,
            headers={"Connection": "close"},
            fields={"grant_type": "refresh_token", "refresh_token": self._refresh_token},
            encode_multipart=False,
        )
        assert response.status == 200, response.data
        granted = response.json()
        self._refresh_token = granted["refresh_token"]
        return f"Bearer {granted['access_token']}", {"api_key": credentials.api_key}


def _clients(fleet: RotationFleet, bearers: list[str], ledger: Ledger) -> Iterator[SteadyClient]:
    """
    Yield four apps and a backend for each instance.

    One of the apps names no key, and one has a session.
    """

    def app(credentials: Credentials, number: int) -> tuple[str, dict[str, Any]]:
        return bearers[number % USERS], {"api_key": credentials.api_key}

    def app_without_key(_: Credentials, number: int) -> tuple[str, dict[str, Any]]:
        return bearers[number % USERS], {}

    def backend(credentials: Credentials, number: int) -> tuple[str, dict[str, Any]]:
        user_id = f"user{number % USERS}"
        return credentials.basic, {"user_id": user_id, "api_key": credentials.api_key}

    for number, service in enumerate(fleet.services):
        session = _Session(service.base_url, fleet.open_session(f"account{number}"))
        for request in (app, app, app_without_key, backend, session.request):
            yield SteadyClient(
                service.base_url,
                request,
                lambda minted: connects(fleet.stream, minted),
                credentials=fleet.credentials,
                ledger=ledger,
                interval=INTERVAL,
            )
