"""Instances whose keys and secrets are changed under load, each change in its order."""

import contextlib
import json
import secrets
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import urllib3

from testing.doubles.issuer import IssuerDouble
from testing.doubles.stream import StreamDouble
from testing.postgres import PostgresServer
from testing.rotation import basic, command
from testing.runs.fleet import migrated
from testing.runs.steady_load import Credentials, SteadyClient
from testing.service import STREAM_API_KEY, STREAM_API_SECRET, Service, running_service
from tokensvc.keys.vault import Vault

STREAM_KEY, CLIENT_SECRET, ENCRYPTION_KEY = "Stream key", "client secret", "encryption key"
_PATIENCE = 60.0
_OPERATOR = ("keys:write", "clients:write", "tokens:mint")


@dataclass
class Fleet:
    """
    The instances, what they share, and the clients that load them.

    Attributes:
        settings: Of every instance, and of commands.
        rotations: How often what was changed.
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
    rotations: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys((STREAM_KEY, CLIENT_SECRET, ENCRYPTION_KEY), 0)
    )

    def ship(self, **changes: str) -> None:
        """Give every client something new, and wait until each is through with what it had."""
        self.held = replace(self.held, **changes)
        for client in self.clients:
            client.credentials = self.held
        _wait(lambda: all(client.finished is self.held for client in self.clients), "the clients")

    def done(self, what: str) -> None:
        self.rotations[what] += 1

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
        self.done(STREAM_KEY)

    def rotate_client_secret(self) -> None:
        """Make a second secret and ship it, then delete the first."""
        path = f"clients/{self.backend_id}/secrets"
        added = self.operator("POST", path)
        self.ship(basic=_basic(self.backend_id, added["secret"]))
        self.operator("DELETE", f"{path}/{self.secret_id}")
        self.secret_id = added["id"]
        self.done(CLIENT_SECRET)

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
        self.done(ENCRYPTION_KEY)

    def _reload_all(self, keys: list[str]) -> None:
        for service, file in zip(self.services, self.key_files, strict=True):
            file.write_text("\n".join(keys))
            former = set(service.worker_pids())
            service.process.send_signal(signal.SIGHUP)
            _wait(partial(_is_renewed, service, former), "a reload")
            refused = [
                line for line in service.log_lines() if line["event"] == "settings_reload_failed"
            ]
            assert not refused, refused


def start_fleet(stack: contextlib.ExitStack, database: str, issuer: IssuerDouble) -> Fleet:
    """Start instances, one on SQLite and two on PostgreSQL, whose backend has its first secret."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tokensvc-run-")))
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
        settings["TOKENSVC_DATABASE_URL"] = migrated(server.fresh_url())
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
