"""Built-in accounts: refreshes, sign-ins next to bare argon2, and mints with access tokens."""

import argparse
import contextlib
import json
import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.client import HTTPConnection
from multiprocessing.synchronize import Event
from statistics import median

from argon2.low_level import Type, hash_secret_raw

from bench import report
from bench.account_load import (
    PASSWORD,
    SETTINGS,
    USERS,
    VAULT,
    AccountLoad,
    checked,
    connected,
    opened,
    user_of,
)
from bench.credentials import Credential
from bench.interleaved import postgres_server
from bench.measure import Meter, Round
from bench.report import Target
from bench.scene import scene
from bench.systems import PUBLIC_URL, Running, Stage, service
from testing.sessions import open_session, sessions_on
from tokensvc.core.clock import system_clock
from tokensvc.database.engine import Database
from tokensvc.sessions.access_tokens.signing_keys import SigningKeys
from tokensvc.sessions.access_tokens.tokens import AccessTokens
from tokensvc.sessions.settings import SessionSettings
from tokensvc.standing import ring_versions
from tokensvc.standing.rules import Ring

_WORKERS = 2
_CONNECTIONS = 32
_REFRESHES = 1_000
_SIGN_INS = 80
_SIGN_IN_CONNECTIONS = 6
"""Enough for the hashing threads; beyond half of the request threads sign-ins get 503."""
_MINTS = 400


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("--rounds", type=int, default=9)


def run(options: argparse.Namespace) -> int:
    """Measure accounts; 1 if a target is missed."""
    with postgres_server(fsync=True) as postgres, scene() as here:
        stage = Stage(here.folder, here.public_key_file, workers=_WORKERS, settings=SETTINGS)
        url = postgres.fresh_url()
        with stage.running(service(database_url=url)) as running, opened(url) as database:
            meter = Meter(here.credentials)
            meter.first_response(running)
            load = AccountLoad(database, running.port)
            refreshes = [_refreshes(running, load) for _ in range(options.rounds)]
            sign_ins, floors = _sign_ins(running, load, options.rounds)
            quiet, busy = _mints_during_sign_ins(running, meter)
        stage = Stage(here.folder, here.public_key_file, workers=1, settings=SETTINGS)
        with stage.running(service()) as running:
            url = f"sqlite:///{running.log.parent / 'tokensvc.db'}"
            with opened(url) as database:
                provider, account = _mints(running, meter, database, options.rounds)
    shares = [rate / floor for rate, floor in zip(sign_ins, floors, strict=True)]
    during = report.percentile([busy], 0.99), report.percentile([quiet], 0.99)
    text = (
        f"{_WORKERS} workers on PostgreSQL with fsync, {_CONNECTIONS} connections, medians of "
        f"{options.rounds} rounds. Each session is refreshed once, so each refresh advances.\n\n"
        f"- refreshes: {median(refreshes):,.0f} a second\n"
        f"- sign-ins: {median(sign_ins):,.1f} a second; bare argon2 in {_WORKERS} threads of "
        f"a plain Python process: {median(floors):,.1f}\n"
        f"- p99 of {_MINTS} mints: {during[1]:.1f} ms; while {USERS} users sign in: "
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


def _refreshes(running: Running, load: AccountLoad) -> float:
    """Refresh new sessions, and return how many a second."""
    requests = load.refreshes(_CONNECTIONS + _REFRESHES)
    with connected(running, requests[:_CONNECTIONS]) as connections:
        responses = checked(connections.run(requests[_CONNECTIONS:]))
    return _REFRESHES / responses.seconds


def _sign_ins(running: Running, load: AccountLoad, rounds: int) -> tuple[list[float], list[float]]:
    """Return sign-ins and bare hashes a second of each round."""
    load.create_accounts()
    requests = load.sign_ins(_SIGN_INS)
    sign_ins, floors = [], []
    with connected(running, requests[:_SIGN_IN_CONNECTIONS]) as connections:
        for _ in range(rounds):
            floors.append(_bare_hashes())
            responses = checked(connections.run(requests))
            sign_ins.append(_SIGN_INS / responses.seconds)
    return sign_ins, floors


def _bare_hashes() -> float:
    """Hash in one thread for each worker, with nothing else; return the hashes a second."""
    one = partial(
        hash_secret_raw,
        PASSWORD.encode(),
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
        body = json.dumps({"user_id": user_of(number), "password": PASSWORD})
        while not stop.is_set():
            with contextlib.closing(HTTPConnection("127.0.0.1", port)) as connection:
                headers = {"Content-Type": "application/json"}
                connection.request("POST", "/v1/sessions", body, headers)
                connection.getresponse().read()
            started.set()

    with ThreadPoolExecutor(USERS) as pool:
        list(pool.map(sign_in, range(USERS)))


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
        self._sessions = sessions_on(database, system_clock, vault=VAULT)
        self._tokens = AccessTokens(SigningKeys(database, VAULT), PUBLIC_URL, SessionSettings())
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
