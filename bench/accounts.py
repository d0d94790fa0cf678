"""Built-in accounts: refreshes, sign-ins next to bare argon2, and mints with access tokens."""

import argparse
import contextlib
import json
import multiprocessing
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.client import HTTPConnection
from multiprocessing.synchronize import Event
from statistics import median
from urllib.parse import urlencode

from argon2.low_level import Type, hash_secret_raw

from bench import report
from bench.credentials import Credential
from bench.interleaved import postgres_server
from bench.load import Connections, LoadError, Responses
from bench.measure import Meter, Round
from bench.processes import serving_processes
from bench.report import Target
from bench.scene import scene
from bench.systems import ENCRYPTION_KEY, PUBLIC_URL, Running, Stage, service
from testing.service import NO_LIMITS
from testing.sessions import open_session, sessions_on
from tokensvc.accounts import store as account_store
from tokensvc.accounts.hashing import HashingPool, PasswordHasher
from tokensvc.accounts.store import Account
from tokensvc.core.clock import system_clock
from tokensvc.database.engine import Database
from tokensvc.keys.signing_keys import SigningKeys
from tokensvc.keys.vault import Vault
from tokensvc.sessions.access_tokens import AccessTokens
from tokensvc.sessions.settings import SessionSettings
from tokensvc.standing import ring_versions
from tokensvc.standing.rules import Ring

_SETTINGS = {
    **NO_LIMITS,
    "TOKENSVC_ACCOUNTS__ENABLED": "true",
    "TOKENSVC_SHARED_USER_IDS": "true",
}
_PASSWORD = "seven green bicycles"
_VAULT = Vault([ENCRYPTION_KEY])
_WORKERS = 2
_CONNECTIONS = 32
_REFRESHES = 1_000
_SIGN_INS = 80
_SIGN_IN_CONNECTIONS = 6
"""Enough for the hashing threads; beyond half of the request threads sign-ins get 503."""
_SIGN_INS_AT_ONCE = 200
_MINTS = 400


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("--rounds", type=int, default=9)


def run(options: argparse.Namespace) -> int:
    """Measure accounts; 1 if a target is missed."""
    with postgres_server() as postgres, scene() as here:
        with postgres.connection() as connection:
            connection.execute("ALTER SYSTEM SET fsync = on")
            connection.execute("SELECT pg_reload_conf()")
        stage = Stage(here.folder, here.public_key_file, workers=_WORKERS, settings=_SETTINGS)
        url = postgres.fresh_url()
        with stage.running(service(database_url=url)) as running, _opened(url) as database:
            meter = Meter(here.credentials)
            meter.first_response(running)
            refreshes = [_refreshes(running, database, part) for part in range(options.rounds)]
            sign_ins, floors = _sign_ins(running, database, options.rounds)
            quiet, busy = _mints_during_sign_ins(running, meter)
        stage = Stage(here.folder, here.public_key_file, workers=1, settings=_SETTINGS)
        with stage.running(service()) as running:
            url = f"sqlite:///{running.log.parent / 'tokensvc.db'}"
            with _opened(url) as database:
                provider, account = _mints(running, meter, database, options.rounds)
    shares = [rate / floor for rate, floor in zip(sign_ins, floors, strict=True)]
    during = report.percentile([busy], 0.99), report.percentile([quiet], 0.99)
    text = (
        f"{_WORKERS} workers on PostgreSQL with fsync, {_CONNECTIONS} connections, medians of "
        f"{options.rounds} rounds. Each session is refreshed once, so each refresh advances.\n\n"
        f"- refreshes: {median(refreshes):,.0f} a second\n"
        f"- sign-ins: {median(sign_ins):,.1f} a second; bare argon2 in {_WORKERS} threads of "
        f"a plain Python process, without the heap of `tokensvc serve`: {median(floors):,.1f}\n"
        f"- p99 of {_MINTS} mints: {during[1]:.1f} ms; while {_SIGN_INS_AT_ONCE} users sign in: "
        f"{during[0]:.1f} ms\n\n"
        "One worker on SQLite, 16 connections:\n\n"
        + report.table(
            ("credential of the mint", *report.FIGURES),
            [
                ("token of an identity provider", *report.figures(provider)),
                ("access token of an account", *report.figures(account)),
            ],
        )
    )
    targets = [
        Target("1,000 / refreshes a second", [1_000 / rate for rate in refreshes], 1),
        Target("0.85 / (sign-ins / bare argon2)", [0.85 / share for share in shares], 1),
    ]
    return report.finish("accounts", text, targets, record=options.record)


@contextlib.contextmanager
def _opened(url: str) -> Iterator[Database]:
    database = Database.open(url, pool_size=1)
    try:
        yield database
    finally:
        database.close()


def _refreshes(running: Running, database: Database, part: int) -> float:
    """Refresh new sessions, and return how many a second."""
    sessions = sessions_on(database, system_clock, vault=_VAULT)
    with database.write() as tx:
        grants = [
            open_session(tx, sessions, f"refresh-{part}-{number}")
            for number in range(_CONNECTIONS + _REFRESHES)
        ]
    requests = [
        _post(
            running.port,
            "/oauth/token",
            "application/x-www-form-urlencoded",
            urlencode({"grant_type": "refresh_token", "refresh_token": grant.refresh_token}),
        )
        for grant in grants
    ]
    with _connected(running, requests[:_CONNECTIONS]) as connections:
        responses = _checked(connections.run(requests[_CONNECTIONS:]))
    return _REFRESHES / responses.seconds


def _sign_ins(running: Running, database: Database, rounds: int) -> tuple[list[float], list[float]]:
    """Return sign-ins and bare hashes a second of each round."""
    users = [f"person-{number}" for number in range(_SIGN_INS_AT_ONCE)]
    stored = PasswordHasher(HashingPool(1, 0)).hash(_PASSWORD)
    with database.write() as tx:
        for user_id in users:
            account_store.insert(tx, Account(user_id, stored, int(time.time()), None))
    requests = [_sign_in(running.port, user_id) for user_id in users]
    sign_ins, floors = [], []
    with _connected(running, requests[:_SIGN_IN_CONNECTIONS]) as connections:
        for _ in range(rounds):
            floors.append(_bare_hashes())
            responses = _checked(connections.run(requests[:_SIGN_INS]))
            sign_ins.append(_SIGN_INS / responses.seconds)
    return sign_ins, floors


def _bare_hashes() -> float:
    """Hash in one thread for each worker, with nothing else; return the hashes a second."""
    one = partial(
        hash_secret_raw,
        _PASSWORD.encode(),
        b"a salt of 16 byt",
        time_cost=2,
        memory_cost=19 * 1024,
        parallelism=1,
        hash_len=32,
        type=Type.ID,
    )
    with ThreadPoolExecutor(_WORKERS) as pool:
        list(pool.map(_run, [one] * _WORKERS))
        start = time.perf_counter()
        list(pool.map(_run, [one] * _SIGN_INS))
        return _SIGN_INS / (time.perf_counter() - start)


def _run(function: Callable[[], bytes]) -> bytes:
    return function()


def _mints_during_sign_ins(running: Running, meter: Meter) -> tuple[Round, Round]:
    """Mint without, then while many users sign in, again and again."""
    context = multiprocessing.get_context("spawn")
    with meter.connected(running, _CONNECTIONS) as measured:
        measured.mint(_MINTS)
        quiet = measured.round(_MINTS)
        started, stop = context.Event(), context.Event()
        storm = context.Process(target=_storm, args=(running.port, started, stop))
        storm.start()
        started.wait()
        busy = measured.round(_MINTS)
        stop.set()
        storm.join()
    return quiet, busy


def _storm(port: int, started: Event, stop: Event) -> None:
    """Sign users in, each again and again, until the mints are done."""

    def sign_in(number: int) -> None:
        body = json.dumps({"user_id": f"person-{number}", "password": _PASSWORD})
        while not stop.is_set():
            with contextlib.closing(HTTPConnection("127.0.0.1", port)) as connection:
                headers = {"Content-Type": "application/json"}
                connection.request("POST", "/v1/sessions", body, headers)
                connection.getresponse().read()
            started.set()

    with ThreadPoolExecutor(_SIGN_INS_AT_ONCE) as pool:
        list(pool.map(sign_in, range(_SIGN_INS_AT_ONCE)))


def _mints(
    running: Running, meter: Meter, database: Database, rounds: int
) -> tuple[list[Round], list[Round]]:
    """Mint for tokens of a provider and for access tokens, in turn."""
    meter.first_response(running)
    with (
        meter.connected(running, 16) as provider,
        Meter(_AccessTokenSource(database)).connected(running, 16) as account,
    ):
        for measured in (provider, account):
            measured.mint(_MINTS)
        pairs = [(provider.round(_MINTS), account.round(_MINTS)) for _ in range(rounds)]
    return [one for one, _ in pairs], [other for _, other in pairs]


class _AccessTokenSource:
    """Access tokens, each of a session of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sessions = sessions_on(database, system_clock, vault=_VAULT)
        self._tokens = AccessTokens(SigningKeys(database, _VAULT), PUBLIC_URL, SessionSettings())
        self._count = 0

    def take(self, count: int) -> list[Credential]:
        """Return `count` access tokens that were not returned before."""
        with self._database.read() as connection:
            version = ring_versions.read(connection, Ring.SIGNING)
        first, self._count, now = self._count, self._count + count, time.time()
        with self._database.write() as tx:
            families = [
                open_session(tx, self._sessions, f"account-{number}").family
                for number in range(first, self._count)
            ]
        return [
            Credential(
                family.user_id,
                self._tokens.mint_for_user(family, now=now, ring_version=version).token,
            )
            for family in families
        ]


def _connected(running: Running, requests: list[bytes]) -> contextlib.closing[Connections]:
    """Open connections with one request each."""
    connections = Connections(running.port, len(requests), serving_processes(running.leader))
    _checked(connections.open(requests))
    return contextlib.closing(connections)


def _checked(responses: Responses) -> Responses:
    if responses.refused:
        raise LoadError(f"refused: {responses.refused[0][:1000]!r}")
    return responses


def _sign_in(port: int, user_id: str) -> bytes:
    body = json.dumps({"user_id": user_id, "password": _PASSWORD})
    return _post(port, "/v1/sessions", "application/json", body)


def _post(port: int, path: str, kind: str, body: str) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: bench\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode("ascii")
