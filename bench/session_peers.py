"""What people would use instead for accounts: each peer with its requests."""

import base64
import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from http.client import HTTPConnection

from argon2 import extract_parameters

from bench.account_load import PASSWORD, USERS, form, post, user_of
from bench.systems import NODE, Running, System, gunicorn, service
from testing.service import ROOT
from tokensvc.accounts.passwords.hashing import HashingPool, PasswordHasher
from tokensvc.core.waiting import WaitSlots

NODE_FOLDER = ROOT / "bench" / "peers" / "sessions"
_RESOURCE = "https://api.bench.example"

CLIENT_ID = "service"
CLIENT_SECRET = "a-secret-of-the-bench-with-40-characters"

MakeRequest = Callable[[int, str], bytes]
"""Returns a request to a port, with a refresh token or a user ID."""


@dataclass(frozen=True, slots=True)
class Peer:
    """
    A system with accounts.

    Attributes:
        system: The server.
        requests: Request of each kind that it has.
        new_token: Member of a refresh's response with the next refresh token.
    """

    system: System
    requests: Mapping[str, MakeRequest]
    new_token: str = "refresh_token"


def peers(new_database: Callable[[], str]) -> list[Peer]:
    """
    Return all systems, the service first.

    Args:
        new_database: Function that returns the URL of a new PostgreSQL database.
    """
    hashed = extract_parameters(PasswordHasher(HashingPool(1, WaitSlots(1))).hash(PASSWORD))
    environ = {
        "BENCH_CLIENT_ID": CLIENT_ID,
        "BENCH_CLIENT_SECRET": CLIENT_SECRET,
        "BENCH_ARGON2_KIB": str(hashed.memory_cost),
        "BENCH_ARGON2_PASSES": str(hashed.time_cost),
    }
    return [
        replace(
            peer,
            system=replace(
                peer.system,
                environ={**peer.system.environ, **environ},
                database_url=new_database(),
            ),
        )
        for peer in _PEERS
    ]


def seed(running: Running, count: int) -> list[str]:
    """Create the users of a peer if they do not exist, and return new refresh tokens."""
    users = {"prefix": user_of(0)[:-1], "count": USERS, "password": PASSWORD}
    body = json.dumps({"users": users, "refreshTokens": count})
    connection = HTTPConnection("127.0.0.1", running.port, timeout=300)
    with contextlib.closing(connection):
        connection.request("POST", "/bench/seed", body, {"Content-Type": "application/json"})
        tokens: list[str] = json.loads(connection.getresponse().read())
    return tokens


def _on_gthread(name: str, app: str) -> System:
    command = gunicorn("bench.peers.gunicorn_conf", f"bench.peers.{app}:app")
    return System(name, command, {"BENCH_WORKER_CLASS": "gthread"})


def _form(path: str, field: str, **others: str) -> MakeRequest:
    return lambda port, value: form(port, path, {**others, field: value})


def _refresh(path: str, **others: str) -> MakeRequest:
    return _form(path, "refresh_token", grant_type="refresh_token", **others)


def _json(path: str, field: str, after: str = "", **others: str) -> MakeRequest:
    return lambda port, value: post(
        port, path, "application/json", json.dumps({**others, field: value + after})
    )


def _client_credentials(path: str, client_id: str = CLIENT_ID, **others: str) -> MakeRequest:
    basic = base64.b64encode(f"{client_id}:{CLIENT_SECRET}".encode()).decode()
    fields = {"grant_type": "client_credentials", **others}
    return lambda port, _: form(port, path, fields, f"Authorization: Basic {basic}\r\n")


_PEERS = (
    Peer(
        service(revoked_users=0),
        {
            "refresh": _refresh("/oauth/token"),
            "sign-in": _json("/v1/sessions", "user_id", password=PASSWORD),
            "client_credentials": _client_credentials("/oauth/token", f"svc.{CLIENT_ID}"),
        },
    ),
    Peer(
        System("oidc-provider", (str(NODE), str(NODE_FOLDER / "oidc.js"))),
        {
            "refresh": _refresh("/token", client_id="app"),
            "client_credentials": _client_credentials("/token", scope="api"),
        },
    ),
    Peer(
        System("better-auth", (str(NODE), str(NODE_FOLDER / "better_auth.js"))),
        {
            "refresh": _refresh("/api/auth/oauth2/token", client_id="app"),
            "sign-in": _json(
                "/api/auth/sign-in/email", "email", "@bench.example", password=PASSWORD
            ),
            "client_credentials": _client_credentials(
                "/api/auth/oauth2/token", scope="api", resource=_RESOURCE
            ),
        },
    ),
    Peer(
        _on_gthread("Django + simplejwt", "django_app"),
        {
            "refresh": _json("/token/refresh/", "refresh"),
            "sign-in": _json("/token/", "username", password=PASSWORD),
        },
        new_token="refresh",
    ),
    Peer(
        _on_gthread("Flask + Authlib", "authlib_app"),
        {
            "refresh": _refresh("/token", client_id="app"),
            "sign-in": _form(
                "/token", "username", grant_type="password", client_id="app", password=PASSWORD
            ),
            "client_credentials": _client_credentials("/token", scope="api"),
        },
    ),
)
