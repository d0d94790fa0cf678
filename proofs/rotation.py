"""
Rotation that nobody notices: `python -m proofs.rotation --seconds 60`.

Apps and a backend mint and connect at a steady pace while the Stream key, the backend's secret and
the encryption keys are changed over and over, each in the order that the documentation gives.
Proved is that no request fails and that Stream refuses no token.
"""

import argparse
import contextlib
import json
import secrets
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import urllib3

from proofs.steady_load import Credentials, Ledger, SteadyClient
from tests.doubles.issuer import IssuerDouble
from tests.doubles.stream import StreamDouble
from tests.keys.live import basic, command, connects
from tests.live import STREAM_API_KEY, STREAM_API_SECRET, Service, running_service
from tests.postgres import PostgresServer
from tokensvc.database import schema
from tokensvc.database.engine import Database
from tokensvc.keys.vault import Vault

USERS = 200
PACE = 0.2
"""Seconds between two turns of a client."""
_PATIENCE = 60.0
_OPERATOR = ("keys:write", "clients:write", "tokens:mint")


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


@dataclass
class Fleet:
    """
    The instances, what they share, and the clients that load them.

    Attributes:
        settings: Of every instance, and of commands.
        operator: Called with a path below `/v1/` and a body, gives the answer.
    """

    folder: Path
    services: list[Service]
    key_files: list[Path]
    settings: dict[str, str]
    stream: StreamDouble
    operator: Callable[..., Any]
    backend_id: str
    secret_id: str
    encryption_keys: list[str]
    held: Credentials
    clients: list[SteadyClient] = field(default_factory=list)
    rotations: dict[str, int] = field(default_factory=dict)

    def ship(self, **changes: str) -> None:
        """Give every client something new, and wait until each is through with what it had."""
        self.held = replace(self.held, **changes)
        for client in self.clients:
            client.credentials = self.held
        _wait(lambda: all(client.finished is self.held for client in self.clients), "the clients")

    def done(self, what: str) -> None:
        self.rotations[what] = self.rotations.get(what, 0) + 1

    def rotate_stream_key(self) -> None:
        """Add, ship, activate, retire; then the dashboard removes the old one."""
        former = self.held.api_key
        api_key, secret = f"key-{secrets.token_hex(4)}", secrets.token_hex(32)
        self.stream.app.keys[api_key] = secret
        pair = {"api_key": api_key, "secret": secret, "check": True}
        added = self.operator("POST", "stream-keys", pair)
        self.ship(api_key=api_key)
        self.operator("POST", f"stream-keys/{added['id']}/activate")
        self.ship()
        (old,) = [
            key["id"]
            for key in self.operator("GET", "stream-keys?limit=200")["items"]
            if key["api_key"] == former
        ]
        self.operator("POST", f"stream-keys/{old}/retire")
        self.ship()
        del self.stream.app.keys[former]
        self.done("Stream key")

    def rotate_client_secret(self) -> None:
        """Make a second secret and ship it, then delete the first."""
        path = f"clients/{self.backend_id}/secrets"
        added = self.operator("POST", path)
        self.ship(basic=_basic(self.backend_id, added["secret"]))
        self.operator("DELETE", f"{path}/{self.secret_id}")
        self.secret_id = added["id"]
        self.done("client secret")

    def rotate_encryption_key(self) -> None:
        """Put the new one last everywhere, then first everywhere, reencrypt, then drop the old."""
        (old,) = self.encryption_keys
        new = Vault.generate_key()
        for keys in ([old, new], [new, old]):
            self._reload_all(keys)
        done = command(
            self.folder,
            *("keys", "reencrypt"),
            TOKENSVC_ENCRYPTION_KEYS=json.dumps([new, old]),
            **self.settings,
        )
        assert done["remaining"] == {}, done
        self._reload_all([new])
        self.encryption_keys = [new]
        self.done("encryption key")

    def _reload_all(self, keys: list[str]) -> None:
        for service, file in zip(self.services, self.key_files, strict=True):
            file.write_text("\n".join(keys))
            former = set(service.worker_pids())
            service.process.send_signal(signal.SIGHUP)
            _wait(partial(_is_renewed, service, former), "a reload")
            refused = [line for line in service.log_lines() if line["event"] == "reload_refused"]
            assert not refused, refused


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
        fleet = _start(stack, database, issuer)
        bearers = [f"Bearer {issuer.token(sub=f'user{number}')}" for number in range(USERS)]
        fleet.clients = list(_clients(fleet, bearers, ledger))
        for client in fleet.clients:
            client.start()
        start = time.monotonic()
        while time.monotonic() < start + seconds or not fleet.rotations:
            fleet.rotate_stream_key()
            fleet.rotate_client_secret()
            fleet.rotate_encryption_key()
        for client in fleet.clients:
            client.stop()
        for client in fleet.clients:
            client.join()
        elapsed = time.monotonic() - start
    return Figures(elapsed, ledger, fleet.rotations)


def main() -> int:
    """Prove it, print the figures; 1 when it does not hold."""
    parser = argparse.ArgumentParser(prog="python -m proofs.rotation", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="postgresql")
    options = parser.parse_args()
    figures = prove(options.seconds, database=options.database)
    print("\n".join(figures.lines()))
    print("rotation under load: " + ("holds" if figures.holds else "DOES NOT HOLD"))
    return 0 if figures.holds else 1


def _start(stack: contextlib.ExitStack, database: str, issuer: IssuerDouble) -> Fleet:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tokensvc-proof-")))
    stream = stack.enter_context(StreamDouble({STREAM_API_KEY: STREAM_API_SECRET}))
    settings = {
        "STREAM_BASE_URL": stream.url,
        "TOKENSVC_WORKERS": "2",
        "TOKENSVC_ISSUERS": json.dumps([issuer.settings().model_dump(exclude_unset=True)]),
        "TOKENSVC_LIMITS__MINT": "100000/minute",
    }
    if database == "postgresql":
        server = PostgresServer()
        stack.callback(server.remove)
        settings["TOKENSVC_DATABASE_URL"] = _migrated(server.fresh_url())
    key = Vault.generate_key()
    services, key_files = [], []
    for number in range(2 if database == "postgresql" else 1):
        file = folder / f"encryption-{number}"
        file.write_text(key)
        own = {**settings, "TOKENSVC_ENCRYPTION_KEYS_FILE": str(file)}
        services.append(stack.enter_context(running_service(folder, **own)))
        key_files.append(file)
    operator = _made(folder, "operator", _OPERATOR, own)
    backend = _made(folder, "backend", ("tokens:mint",), own)
    fleet = Fleet(
        folder=folder,
        services=services,
        key_files=key_files,
        settings=settings,
        stream=stream,
        operator=_operator(services[0].base_url, basic(operator)),
        backend_id=backend["id"],
        secret_id="",
        encryption_keys=[key],
        held=Credentials(STREAM_API_KEY, basic(backend)["authorization"]),
    )
    (fleet.secret_id,) = [
        secret["id"] for secret in fleet.operator("GET", f"clients/{fleet.backend_id}")["secrets"]
    ]
    return fleet


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


def _operator(base_url: str, headers: dict[str, str]) -> Callable[..., Any]:
    http = urllib3.PoolManager(retries=False, timeout=30.0)

    def call(method: str, path: str, body: Any = None) -> Any:
        answer = http.request(
            method,
            f"{base_url}/v1/{path}",
            headers={**headers, "Connection": "close"},
            json=body if method == "POST" else None,
        )
        assert answer.status < 300, f"{method} {path}: {answer.data!r}"
        return json.loads(answer.data or b"null")

    return call


def _made(
    folder: Path, name: str, scopes: tuple[str, ...], settings: dict[str, str]
) -> dict[str, Any]:
    options = [word for scope in scopes for word in ("--scope", scope)]
    made: dict[str, Any] = command(
        folder, "clients", "create", name, *options, "--vouches", **settings
    )
    return made


def _migrated(url: str) -> str:
    database = Database.open(url, pool_size=1)
    try:
        schema.migrate(database)
    finally:
        database.close()
    return url


def _basic(client_id: str, secret: str) -> str:
    return basic({"id": client_id, "secret": secret})["authorization"]


def _is_renewed(service: Service, former: set[int]) -> bool:
    pids = set(service.worker_pids())
    return len(pids) == len(former) and not pids & former


def _wait(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited {_PATIENCE:.0f} s for {what}"
        time.sleep(0.02)


if __name__ == "__main__":
    sys.exit(main())
