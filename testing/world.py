"""The running service with its Stream, its identity providers, its database and its clients."""

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import jwt
import sqlalchemy as sa

from testing.command_line import SCRIPT, Ended, run_command
from testing.doubles.events import AUDIENCE as EVENT_AUDIENCE
from testing.doubles.issuer import IssuerDouble
from testing.doubles.stream import StreamDouble
from testing.http_client import Client
from testing.response import Response
from testing.service import (
    NO_LIMITS,
    STREAM_API_KEY,
    STREAM_API_SECRET,
    Service,
    running_service,
    settings_environ,
)
from testing.service_clients import basic, make_client
from testing.waiting import wait_until
from testing.warm_start import Program
from tokensvc.database.engine import Database
from tokensvc.standing.tables import user_standings

METRICS_TOKEN = "metrics-token-of-operators"
CUT_OFF = "revoke_tokens_issued_before"
"""Stream's name of the cut-off."""
CLOCK_AHEAD = 2
"""Default seconds after a cut-off from which a sign-in is accepted."""
WAIT = {"Prefer": "wait=10"}
"""Header that makes an action wait for its delivery."""

_OPERATOR = (
    *("users:read", "users:write", "users:roles", "revocations:write", "app:write"),
    *("keys:write", "audit:read", "users:erase"),
)


@dataclass
class World:
    """
    A service and everything around it.

    Attributes:
        settings: Settings in addition to the usual ones.
        issuer: Provider whose tokens contain the time of the sign-in.
        silent: Provider whose tokens contain only `iat`, and whose logouts end single sessions. Its
            user IDs begin with `silent-`.
        operator: Client with every scope that an operator needs. It cannot mint.
        backend: Client that signs its users in itself, and mints for them.
        vouching: Client that mints and whose requests count as sign-ins.
        anonymous: Client without credentials.
    """

    folder: Path
    settings: dict[str, str]
    service: Service
    stream: StreamDouble
    issuer: IssuerDouble
    silent: IssuerDouble
    database: Database

    def __post_init__(self) -> None:
        self.operator = self.client_with("operator", *_OPERATOR)
        self.backend = self.client_with("backend", "tokens:mint")
        self.vouching = self.client_with("vouching", "tokens:mint", vouches=True)
        self.anonymous = Client(self.service.base_url)

    @property
    def environ(self) -> dict[str, str]:
        """Environment of the service, for commands."""
        return settings_environ(self.folder, **self.settings)

    def client_with(self, name: str, *scopes: str, vouches: bool = False) -> Client:
        """Create a service client with these scopes."""
        created = make_client(self.database, name, *scopes, vouches=vouches)
        return Client(self.service.base_url, basic(created))

    def signed_in(self, user_id: str, at: int | None = None) -> Client:
        """Return a user who has signed in, by default now; wait until the service accepts it."""
        token = self.issuer.token(sub=user_id, auth_time=_wait_for(at or int(time.time())))
        return Client(self.service.base_url, {"Authorization": f"Bearer {token}"})

    def signed_in_silently(self, user_id: str, at: int, **claims: Any) -> Client:
        """Return a user of the provider that renews tokens without a sign-in."""
        user = user_id.removeprefix("silent-")
        token = self.silent.token(sub=user, auth_time=None, iat=_wait_for(at), **claims)
        return Client(self.service.base_url, {"Authorization": f"Bearer {token}"})

    def revoke(self, user_id: str, **options: Any) -> Response:
        return self.operator.post(f"/v1/users/{user_id}/revocations", **options)

    def undo(self, user_id: str, revocation_id: str, **options: Any) -> Response:
        path = f"/v1/users/{user_id}/revocations/{revocation_id}"
        return self.operator.request("DELETE", path, **options)

    def suspend(self, user_id: str, **options: Any) -> Response:
        return self.operator.request("PUT", f"/v1/users/{user_id}/suspension", **options)

    def reinstate(self, user_id: str, **options: Any) -> Response:
        return self.operator.request("DELETE", f"/v1/users/{user_id}/suspension", **options)

    def erase(self, user_id: str, **options: Any) -> Response:
        return self.operator.request("DELETE", f"/v1/users/{user_id}", **options)

    def wait_for_erasure(self, user_id: str, state: str = "done") -> Any:
        """Wait until an erasure has a state, and return it."""
        wait_until(
            lambda: self.state(user_id)["erasure"]["state"] == state, f"the erasure is {state}"
        )
        return self.state(user_id)["erasure"]

    def state(self, user_id: str) -> dict[str, Any]:
        state: dict[str, Any] = self.operator.get(f"/v1/users/{user_id}").json
        return state

    def set_standing(self, user_id: str, **columns: int | None) -> None:
        """Write a user's standing without an action."""
        with self.database.write() as tx:
            tx.execute(sa.delete(user_standings).filter_by(user_id=user_id))
            tx.execute(sa.insert(user_standings).values(user_id=user_id, **columns))

    def make_stream_user(self, user_id: str) -> None:
        """Create a user at Stream, as their first connection does."""
        self.stream.app.users[user_id] = {"id": user_id}

    def readiness(self) -> tuple[int, Any]:
        """Return the status and the body of `/readyz` for an operator."""
        headers = {"Authorization": f"Bearer {METRICS_TOKEN}"}
        response = self.anonymous.get("/readyz", headers=headers)
        return response.status, response.json

    def check(self, name: str) -> Any:
        """Return one check of `/readyz`."""
        return next(check for check in self.readiness()[1]["checks"] if check["name"] == name)

    def wait_for_check(self, name: str, state: str) -> Any:
        """Wait until a look has found this state, and return the check of `/readyz`."""
        checks: list[Any] = []

        def is_found() -> bool:
            checks.append(self.check(name))
            return bool(checks[-1]["state"] == state)

        wait_until(is_found, f"{name} is {state}")
        return checks[-1]

    def log(self, event: str) -> list[dict[str, Any]]:
        """Return the lines of the service's log with this event."""
        return [line for line in self.service.log_lines() if line["event"] == event]

    def command(self, *arguments: str, stdin: str = "") -> Ended:
        """Run a command with the settings of the service."""
        return run_command(self.folder, self.environ, *arguments, stdin=stdin)

    @contextlib.contextmanager
    def worker(self) -> Iterator[Program]:
        """Run `tokensvc worker` until the block ends."""
        with (self.folder / "worker.log").open("wb") as log:
            process = Program(
                [SCRIPT, "worker"], cwd=self.folder, env=self.environ, stderr=log.fileno()
            )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(timeout=30)


W = TypeVar("W", bound=World)


@contextlib.contextmanager
def running_world(
    folder: Path, kind: type[W] = World, stream: StreamDouble | None = None, **settings: str
) -> Iterator[W]:
    """
    Run a service until the block ends.

    Args:
        folder: Folder of the database and the log.
        kind: `World` or a subclass.
        stream: Stream double; by default a new one.
        settings: Further environment variables.
    """
    with contextlib.ExitStack() as stack:
        if stream is None:
            stream = stack.enter_context(StreamDouble({STREAM_API_KEY: STREAM_API_SECRET}))
        issuer = stack.enter_context(IssuerDouble())
        silent = stack.enter_context(IssuerDouble())
        issuer.issuer, silent.issuer = "https://id.acme.example", "https://id.silent.example"
        issuers = [
            issuer.config(events={"audience": EVENT_AUDIENCE}),
            silent.config(
                name="silent",
                sign_in_time="iat",
                user_id_prefix="silent-",
                events={
                    "audience": EVENT_AUDIENCE,
                    "logout": "session",
                    "purge_erases": True,
                },
            ),
        ]
        settings = {
            "STREAM_BASE_URL": stream.url,
            "TOKENSVC_STREAM__DELIVERY": "on",
            "TOKENSVC_ISSUERS": json.dumps(issuers),
            "TOKENSVC_SHARED_USER_IDS": "true",
            **NO_LIMITS,
            "TOKENSVC_METRICS__TOKEN": METRICS_TOKEN,
            "TOKENSVC_LOG__FORMAT": "json",
            **settings,
        }
        service = stack.enter_context(running_service(folder, **settings))
        url = settings.get("TOKENSVC_DATABASE_URL", f"sqlite:///{folder / 'tokensvc.db'}")
        database = Database.open(url, pool_size=1)
        stack.callback(database.close)
        yield kind(folder, settings, service, stream, issuer, silent, database)


def _wait_for(at: int) -> int:
    """Wait until a sign-in at this time is not in the future, and return the time."""
    while time.time() < at - CLOCK_AHEAD:
        time.sleep(0.05)
    return at


def minted(user: Client, **body: Any) -> Response:
    """Request a token. Repeat the request as long as the service asks for it."""
    while True:
        response = user.post("/v1/token", json=body)
        if response.status != 503:
            return response
        assert response.headers["Retry-After"] == "1"
        time.sleep(0.1)


def claims(response: Response) -> dict[str, Any]:
    """Return the claims of a minted token."""
    assert response.status == 200, response.text
    found: dict[str, Any] = jwt.decode(response.json["token"], STREAM_API_SECRET, ["HS256"])
    return found
