"""Instances whose keys and secrets are rotated under load, with the documented steps."""

import contextlib
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import urllib3

from testing.command_line import run_json
from testing.doubles.events import AUDIENCE, logout_token, send_logout
from testing.doubles.issuer import IssuerDouble
from testing.doubles.stream import StreamDouble
from testing.http_client import Client
from testing.runs.fleet import CUT_OFF
from testing.runs.preparation import database_settings, temporary_folder
from testing.runs.steady_load import Credentials, SteadyClient
from testing.service import (
    NO_LIMITS,
    STREAM_API_KEY,
    STREAM_API_SECRET,
    Service,
    running_service,
)
from testing.service_clients import basic_header
from testing.sessions import open_session, sessions_on
from testing.waiting import wait_until
from tokensvc.core.clock import system_clock
from tokensvc.database.engine import Database
from tokensvc.vault.vault import Vault

STREAM_KEY, CLIENT_SECRET, ENCRYPTION_KEY, SIGNING_KEY = KINDS = (
    "Stream key",
    "client secret",
    "encryption key",
    "signing key",
)
_OPERATOR = (*("keys:write", "clients:write", "tokens:mint", "revocations:write", "users:erase"),)
_ACTIONS = (("PUT", "/suspension"), ("POST", "/renewals"), ("DELETE", ""))


@dataclass
class RotationFleet:
    """
    The instances, what they share, and the clients that load them.

    Attributes:
        settings: Settings of every instance and command.
        operator: Function that sends a method, a path below `/v1/` and a body, and returns the
            body of the response.
        credentials: Current credentials of the clients.
        rotations: Number of rotations by kind.
        acted_on: Users who were suspended, renewed, erased or logged out at the provider.
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
    credentials: Credentials
    clients: list[SteadyClient] = field(default_factory=list)
    rotations: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    acted_on: list[str] = field(default_factory=list)

    def roll_out(self, **changes: str) -> None:
        """Change the credentials of all clients. Wait until no client uses the previous ones."""
        self.credentials = replace(self.credentials, **changes)
        for client in self.clients:
            client.credentials = self.credentials
        wait_until(
            lambda: all(client.finished is self.credentials for client in self.clients),
            "all clients have the credentials",
        )

    def rotate_stream_key(self) -> None:
        """Add, roll out, activate and retire. Then remove the previous key at Stream."""
        previous = self.credentials.api_key
        api_key, secret = f"key-{secrets.token_hex(4)}", secrets.token_hex(32)
        self.stream.app.keys[api_key] = secret
        added = self.operator("POST", "stream-keys", {"api_key": api_key, "secret": secret})
        self.roll_out(api_key=api_key)
        self.operator("POST", f"stream-keys/{added['id']}/activate")
        self.roll_out()
        keys = self.operator("GET", "stream-keys?limit=200")["items"]
        (old,) = [key["id"] for key in keys if key["api_key"] == previous]
        self.operator("POST", f"stream-keys/{old}/retire")
        self.roll_out()
        del self.stream.app.keys[previous]
        self.rotations[STREAM_KEY] += 1

    def rotate_client_secret(self) -> None:
        """Create and roll out a second secret, then delete the first."""
        path = f"clients/{self.backend_id}/secrets"
        added = self.operator("POST", path)
        header = basic_header({"id": self.backend_id, "secret": added["secret"]})
        self.roll_out(basic=header["authorization"])
        self.operator("DELETE", f"{path}/{self.secret_id}")
        self.secret_id = added["id"]
        self.rotations[CLIENT_SECRET] += 1

    def rotate_encryption_key(self) -> None:
        """Add the new key last, move it to the first place, reencrypt, and remove the old key."""
        (old,) = self.encryption_keys
        new = Vault.generate_key()
        for keys in ([old, new], [new, old]):
            self._reload_all(keys)
        result = run_json(
            self.folder,
            *("keys", "reencrypt"),
            TOKENSVC_ENCRYPTION_KEYS=json.dumps([new, old]),
            **self.settings,
        )
        assert result["remaining"] == {}, result
        self._reload_all([new])
        self.encryption_keys = [new]
        self.rotations[ENCRYPTION_KEY] += 1

    def add_signing_key(self) -> str:
        """Make the next key of access tokens, which becomes active by itself. Return its ID."""
        key_id: str = self.operator("POST", "signing-keys/rotate")["id"]
        return key_id

    def wait_for_signing_key(self, key_id: str) -> None:
        """Wait until a key signs access tokens."""
        wait_until(
            lambda: self.operator("GET", f"signing-keys/{key_id}")["state"] == "active",
            "the next signing key is active",
        )
        self.rotations[SIGNING_KEY] += 1

    def act_on_users(self, issuer: IssuerDouble) -> None:
        """Act on users who do not mint. Stream gets the results with the keys of the moment."""
        users = [f"other{len(self.acted_on) + number}" for number in range(len(_ACTIONS) + 1)]
        for user_id in users:
            self.stream.app.users[user_id] = {"id": user_id}
        self.stream.devices.add(users[0], "phone")
        for user_id, (method, path) in zip(users, _ACTIONS, strict=False):
            self.operator(method, f"users/{user_id}{path}")
        event = logout_token(issuer, sub=users[-1])
        assert send_logout(Client(self.services[0].base_url), event).status == 200
        self.acted_on += users

    def wait_for_delivery(self) -> None:
        """Wait until Stream has the results: cut-offs or deletions, hints, and no devices."""
        users = self.stream.app.users
        wait_until(
            lambda: all({CUT_OFF, "deleted_at"} & {*users[user_id]} for user_id in self.acted_on),
            "Stream has the results of all actions",
        )
        suspended = self.acted_on[:: len(_ACTIONS) + 1]
        wait_until(lambda: not any(map(self.stream.devices.of, suspended)), "Stream has no devices")
        for user_id in suspended:
            self.stream.calls.wait_for("POST", f"/users/{user_id}/event")

    def open_session(self, user_id: str) -> str:
        """Open a session of a built-in account, and return its refresh token."""
        database = Database.open(self.settings["TOKENSVC_DATABASE_URL"], pool_size=1)
        sessions = sessions_on(database, system_clock, vault=Vault(self.encryption_keys))
        with database.write() as tx:
            token = open_session(tx, sessions, user_id).refresh_token
        database.close()
        return token

    def _reload_all(self, keys: list[str]) -> None:
        for service, file in zip(self.services, self.key_files, strict=True):
            file.write_text("\n".join(keys))
            service.reload()
            events = [line["event"] for line in service.log_lines()]
            assert "settings_reload_failed" not in events


def start_fleet(stack: contextlib.ExitStack, database: str, issuer: IssuerDouble) -> RotationFleet:
    """Start one instance on SQLite or two on PostgreSQL, with a backend and its first secret."""
    folder = temporary_folder(stack)
    stream = stack.enter_context(StreamDouble({STREAM_API_KEY: STREAM_API_SECRET}))
    settings = {
        "STREAM_BASE_URL": stream.url,
        "TOKENSVC_STREAM__DELIVERY": "on",  # otherwise pairs are not checked
        "TOKENSVC_WORKERS": "2",
        "TOKENSVC_ISSUERS": json.dumps([issuer.config(events={"audience": AUDIENCE})]),
        "TOKENSVC_SHARED_USER_IDS": "true",
        "TOKENSVC_ACCOUNTS__ENABLED": "true",
        "TOKENSVC_SESSIONS__JWKS_MAX_AGE": "1",
        "TOKENSVC_SESSIONS__REUSE_GRACE": "1",
        **NO_LIMITS,
        **database_settings(stack, folder, database),
    }
    (key,) = json.loads(settings.pop("TOKENSVC_ENCRYPTION_KEYS"))
    services, key_files = [], []
    for number in range(2 if database == "postgresql" else 1):
        file = folder / f"encryption-{number}"
        file.write_text(key)
        own = {**settings, "TOKENSVC_ENCRYPTION_KEYS_FILE": str(file)}
        services.append(stack.enter_context(running_service(folder, **own)))
        key_files.append(file)
    operator = _client(folder, "operator", _OPERATOR, own)
    backend = _client(folder, "backend", ("tokens:mint",), own)
    request = _requests(services[0].base_url, basic_header(operator))
    (secret,) = request("GET", f"clients/{backend['id']}")["secrets"]
    return RotationFleet(
        folder=folder,
        services=services,
        key_files=key_files,
        settings=settings,
        stream=stream,
        operator=request,
        backend_id=backend["id"],
        secret_id=secret["id"],
        encryption_keys=[key],
        credentials=Credentials(STREAM_API_KEY, basic_header(backend)["authorization"]),
    )


def _requests(base_url: str, headers: dict[str, str]) -> Callable[..., Any]:
    http = urllib3.PoolManager(retries=False, timeout=30.0)

    def send(method: str, path: str, body: Any = None) -> Any:
        response = http.request(
            method,
            f"{base_url}/v1/{path}",
            headers={**headers, "Connection": "close"},
            json=body if method == "POST" else None,
        )
        assert response.status < 300, f"{method} {path}: {response.data!r}"
        return json.loads(response.data or b"null")

    return send


def _client(
    folder: Path, name: str, scopes: tuple[str, ...], settings: dict[str, str]
) -> dict[str, Any]:
    options = [word for scope in scopes for word in ("--scope", scope)]
    created: dict[str, Any] = run_json(
        folder, "clients", "create", name, *options, "--vouches", **settings
    )
    return created
