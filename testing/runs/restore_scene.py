"""A service that is backed up, acted on and lost, and the commands that bring it back."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from testing.accounts import PASSWORD
from testing.command_line import SCRIPT, Ended, run_command, run_json
from testing.doubles.events import AUDIENCE
from testing.doubles.issuer import IssuerDouble
from testing.doubles.stream import StreamDouble
from testing.http_client import Client
from testing.postgres import PostgresServer
from testing.response import Response
from testing.runs.preparation import temporary_folder
from testing.service import (
    NO_LIMITS,
    STREAM_API_KEY,
    STREAM_API_SECRET,
    Service,
    running_service,
    settings_environ,
)
from tokensvc.vault.key_file import load_or_make_key_file
from tokensvc.vault.vault import Vault

CUT_OFF = "revoke_tokens_issued_before"
OTHER_KEY, OTHER_SECRET = "other-api-key", "other-stream-secret-of-more-than-32-bytes"
_EVENTS = {"audience": AUDIENCE, "logout": "session"}


@dataclass
class Scene:
    """
    A service with its database, and everything around it.

    Attributes:
        settings: Settings of the service and of every command.
        server: Server of the database; `None` with SQLite.
        tokens: Tokens of users of the provider who signed in before the backup.
        clients: Header of the credentials of each service client, by a name.
        access_token: Access token of a session from before the backup.
    """

    folder: Path
    settings: dict[str, str]
    stream: StreamDouble
    issuer: IssuerDouble
    server: PostgresServer | None
    service: Service | None = None
    tokens: dict[str, str] = field(default_factory=dict)
    clients: dict[str, dict[str, str]] = field(default_factory=dict)
    access_token: str = ""

    @property
    def backup(self) -> Path:
        return self.folder / "backup"

    @property
    def environ(self) -> dict[str, str]:
        return settings_environ(self.folder, **self.settings)

    @contextlib.contextmanager
    def running(self) -> Iterator[Service]:
        """Run the service until the block ends."""
        with running_service(self.folder, **self.settings) as self.service:
            yield self.service

    def command(self, *arguments: str, stdin: str = "") -> Ended:
        return run_command(self.folder, self.environ, *arguments, stdin=stdin)

    def json(self, *arguments: str, stdin: str = "") -> Any:
        return run_json(self.folder, *arguments, stdin=stdin, **self.settings)

    def client(self, headers: dict[str, str] | None = None) -> Client:
        assert self.service is not None
        return Client(self.service.base_url, headers)

    def sign_in(self, *user_ids: str) -> None:
        """Sign users of the provider in: their tokens stay the same from now on."""
        for user_id in user_ids:
            self.stream.app.users[user_id] = {"id": user_id}
            self.tokens[user_id] = self.issuer.token(sub=user_id.removeprefix("user-"))

    def mint(self, user_id: str) -> Response:
        """Mint with the token of a user of the provider."""
        headers = {"Authorization": f"Bearer {self.tokens[user_id]}"}
        while True:
            response = self.client(headers).post("/v1/token")
            if response.status != 503:
                return response
            time.sleep(0.1)

    def sign_in_account(self, user_id: str, password: str) -> Response:
        body = {"user_id": user_id, "password": password}
        return self.client().post("/v1/sessions", json=body)

    def sign_up(self, user_id: str) -> Response:
        body = {"user_id": user_id, "password": PASSWORD}
        return self.client().post("/v1/accounts", json=body)

    def back_up(self) -> None:
        """Back up the database with the documented commands."""
        printed = self.json("backup", str(self.backup))
        if self.server is not None:
            self._run_line(printed["command"])
            self.json("backup", str(self.backup))

    def lose_database(self) -> None:
        """Delete the database, as the failure of a disk does. The encryption key is kept apart."""
        if self.server is None:
            for path in self.folder.glob("tokensvc.db*"):
                if path.suffix != ".key":
                    path.unlink()
        else:
            self.settings["TOKENSVC_DATABASE_URL"] = self.server.fresh_url()

    def restore(self) -> None:
        """Restore the backup with the documented commands."""
        ended = self.command("restore", str(self.backup))
        assert ended.code == 0, ended.err
        if self.server is not None:
            (line,) = [line for line in ended.out.splitlines() if line.startswith("pg_restore")]
            self._run_line(line)

    def kill_command(self, seconds: float, *arguments: str) -> bool:
        """Run a command and kill it after a time. Return whether it was still running."""
        process = subprocess.Popen(
            [SCRIPT, *arguments],
            cwd=self.folder,
            env=self.environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            return False
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        return True

    def forget_at_stream(self) -> None:
        """Remove all cut-offs at Stream, to see which are delivered again."""
        self.stream.app.settings[CUT_OFF] = None
        for user in self.stream.app.users.values():
            user.pop(CUT_OFF, None)

    def add_device(self, *user_ids: str) -> None:
        """Add a device to users at Stream."""
        for user_id in user_ids:
            self.stream.devices.add(user_id, "phone")

    def have_devices(self, *user_ids: str) -> list[str]:
        """Return those of some users who have devices at Stream."""
        return [user_id for user_id in user_ids if self.stream.devices.of(user_id)]

    def refuses_at_stream(self, user_id: str) -> bool:
        """Return whether Stream has a cut-off for a user."""
        return self.stream.app.users[user_id].get(CUT_OFF) is not None

    def refuses_app_at_stream(self) -> bool:
        """Return whether Stream has a cut-off for all users."""
        return self.stream.app.settings[CUT_OFF] is not None

    def _run_line(self, line: str) -> None:
        assert self.server is not None
        path = f"{self.server.programs}{os.pathsep}{os.environ['PATH']}"
        subprocess.run(line, shell=True, check=True, env={**os.environ, "PATH": path})


@contextlib.contextmanager
def opened_scene(kind: str, server: PostgresServer | None = None) -> Iterator[Scene]:
    """
    Yield a scene whose service has not been started yet.

    Args:
        kind: `sqlite` or `postgresql`.
        server: Server to use; `None` for a new one.
    """
    with contextlib.ExitStack() as stack:
        folder = temporary_folder(stack)
        keys = {STREAM_API_KEY: STREAM_API_SECRET, OTHER_KEY: OTHER_SECRET}
        stream = stack.enter_context(StreamDouble(keys))
        issuer = stack.enter_context(IssuerDouble())
        issuer.issuer = "https://id.acme.example"
        settings = {
            "STREAM_BASE_URL": stream.url,
            "TOKENSVC_STREAM__DELIVERY": "on",
            "TOKENSVC_ISSUERS": json.dumps([issuer.config(user_id_prefix="user-", events=_EVENTS)]),
            "TOKENSVC_LOG__FORMAT": "json",
            "TOKENSVC_ACCOUNTS__ENABLED": "true",
            "TOKENSVC_ACCOUNTS__SIGN_UP": "open",
            "TOKENSVC_ACCOUNTS__USER_ID_PREFIX": "own-",
            **NO_LIMITS,
        }
        if kind == "postgresql":
            if server is None:
                server = PostgresServer()
                stack.callback(server.remove)
            settings["TOKENSVC_DATABASE_URL"] = server.fresh_url()
            settings["TOKENSVC_ENCRYPTION_KEYS"] = json.dumps([Vault.generate_key()])
            settings["PATH"] = f"{server.programs}{os.pathsep}{os.environ['PATH']}"
        scene = Scene(folder, settings, stream, issuer, server if kind == "postgresql" else None)
        assert scene.command("migrate").code == 0
        if scene.server is None:
            load_or_make_key_file(folder / "tokensvc.db.key")  # as the first start does
        yield scene
