"""
Different clocks and slow commits leak no token.

Instances whose clocks differ by 3 s share a PostgreSQL database. Users sign in at a provider whose
clock is 2 s ahead. Each instance revokes users, and all instances must refuse to mint for them.
After that the commit of an action takes 3 s, while every instance is asked for tokens of its user.
After the response no instance may mint for what the action covers. Every token from before the
response, also during the commit, must be older than the cut-off.

The instances run in this process. Each is built as a worker builds itself, with its own clock. That
this clock reaches what dates tokens is shown first: on SQLite, where the host's clock dates them,
each instance mints for a user of the provider, and `iat` must be the time of its clock.
"""

import contextlib
import itertools
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jwt
import structlog
from cryptography.hazmat.primitives import serialization

from testing.doubles.issuer import IssuerDouble
from testing.http_client import Client
from testing.response import Response
from testing.runs.fleet import outcome
from testing.runs.preparation import database_settings, temporary_folder
from testing.service import NO_LIMITS, STREAM_API_SECRET, settings_environ
from testing.service_clients import basic, make_client
from tokensvc.app import mount, startup
from tokensvc.app.build import build
from tokensvc.config.loader import load
from tokensvc.database.engine import Database
from tokensvc.telemetry import logging
from tokensvc.telemetry.settings import LogSettings

OFFSETS = (0.0, 3.0, -3.0)
"""Seconds between the clock of an instance and that of the database."""
PROVIDER_AHEAD = 2
SKEWS = (0, 5)
SLOW = 3.0
"""Seconds of a slow commit."""
_PAUSE = 0.02
"""Seconds between requests during a slow commit."""

_SLOW_COMMIT = (
    """
    CREATE FUNCTION be_slow() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_sleep(%s); RETURN NULL; END $$
    """,
    """
    CREATE CONSTRAINT TRIGGER slow_commit AFTER INSERT ON revocations
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION be_slow()
    """,
)
_IGNORE_IAT = {"verify_iat": False}


@dataclass
class Figures:
    """
    Figures of a run.

    Attributes:
        dated: Offsets of the clocks that dated a token on SQLite.
        after: Responses to covered credentials after an action, by code.
        before: Number of tokens from before the response to an action.
        in_flight: Number of these tokens that were minted during a slow commit.
        too_new: Number of these tokens that are not older than the cut-off.
        slow_actions: Number of actions with a slow commit.
        shifts: Seconds from the beginning of each slow action to its cut-off.
    """

    dated: set[float] = field(default_factory=set)
    after: Counter[str] = field(default_factory=Counter)
    before: int = 0
    in_flight: int = 0
    too_new: int = 0
    slow_actions: int = 0
    shifts: list[int] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether nothing leaked, each clock was in effect, and the slow commits were slow."""
        return (
            self.dated == set(OFFSETS)
            and set(self.after) <= {"sign_in_required", "user_suspended"}
            and self.after.total() > 0
            and not self.too_new
            and self.before > self.in_flight > 0
            and self.slow_actions > 0
            and min(self.shifts) > SLOW
        )

    def lines(self) -> Iterator[str]:
        """Yield the figures as text."""
        offsets = ", ".join(f"{offset:+.0f} s" for offset in OFFSETS)
        yield f"clocks of the instances at {offsets}; the provider {PROVIDER_AHEAD} s ahead"
        dated = ", ".join(f"{offset:+.0f} s" for offset in sorted(self.dated))
        yield f"clocks that dated a token on SQLite: {dated}"
        codes = ", ".join(f"{code} {count}" for code, count in sorted(self.after.items()))
        yield f"responses after the actions: {codes}"
        yield (
            f"{self.slow_actions} commits of {SLOW:.0f} s moved the cut-off by "
            f"{min(self.shifts, default=0)} to {max(self.shifts, default=0)} s"
        )
        yield (
            f"before the responses: {self.before} tokens, {self.in_flight} during a commit, "
            f"{self.too_new} not older than the cut-off"
        )


@dataclass
class Deployment:
    """The instances and what they share."""

    instances: list[Any]
    issuer: IssuerDouble
    operator: dict[str, str]
    database: Database

    def sign_in(self, user_id: str) -> dict[str, str]:
        """Return the header of a user who signs in now, by the clock of the provider."""
        return {"Authorization": f"Bearer {self.issuer.token(sub=user_id)}"}

    def mint_everywhere(self, credential: dict[str, str]) -> list[Response]:
        return [Client(instance, credential).post("/v1/token") for instance in self.instances]

    def act(self, instance: Any, method: str, path: str) -> dict[str, Any]:
        response = Client(instance, self.operator).request(method, path)
        assert response.status == 200, response.text
        result: dict[str, Any] = response.json
        return result


def prove(rounds: int) -> Figures:
    """
    Revoke at each instance, and mint at each.

    Args:
        rounds: Number of actions at each instance, and number of slow actions.
    """
    figures = Figures()
    for offset in OFFSETS:
        with _running("sqlite", 0, [offset]) as deployment:
            _mint_with_clock(deployment, figures, offset)
    for skew in SKEWS:
        with _running("postgresql", skew, OFFSETS) as deployment:
            _revoke_everywhere(deployment, figures, rounds)
            _revoke_slowly(deployment, figures, rounds)
    return figures


def _mint_with_clock(deployment: Deployment, figures: Figures, offset: float) -> None:
    """Mint for a user who has signed in an hour ago, and record whether this clock dates it."""
    before = int(_time_with(offset))
    token = deployment.issuer.token(sub="ada", auth_time=before - 3600)
    responses = deployment.mint_everywhere({"Authorization": f"Bearer {token}"})
    latest = int(_time_with(offset))
    claims = _claims(_minted(responses))
    if claims and all(before <= claim["iat"] <= latest for claim in claims):
        figures.dated.add(offset)


def _revoke_everywhere(deployment: Deployment, figures: Figures, rounds: int) -> None:
    """Revoke and suspend at each instance, and send requests to all."""
    actions = (("POST", "revocations"), ("PUT", "suspension"))
    instances = enumerate(deployment.instances)
    for number, (index, instance), (method, path) in itertools.product(
        range(rounds), instances, actions
    ):
        user_id = f"user-{number}-{index}-{path}"
        credential = deployment.sign_in(user_id)
        tokens = _minted(deployment.mint_everywhere(credential))
        result = deployment.act(instance, method, f"/v1/users/{user_id}/{path}")
        figures.after.update(map(outcome, deployment.mint_everywhere(credential)))
        _compare(figures, tokens, result["tokens_valid_after"])


def _revoke_slowly(deployment: Deployment, figures: Figures, rounds: int) -> None:
    """Send requests to all instances while the commit of an action is slow."""
    with deployment.database.write() as tx:
        for statement in _SLOW_COMMIT:
            tx.exec_driver_sql(statement.replace("%s", str(SLOW)))
    with ThreadPoolExecutor(1) as pool:
        for number, instance in zip(range(rounds), itertools.cycle(deployment.instances)):
            user_id = f"slow-{number}"
            credential = deployment.sign_in(user_id)
            path = f"/v1/users/{user_id}/revocations"
            action = pool.submit(deployment.act, instance, "POST", path)
            responses = []
            while not action.done():
                responses += deployment.mint_everywhere(credential)
                time.sleep(_PAUSE)
            result = action.result()
            figures.after.update(map(outcome, deployment.mint_everywhere(credential)))
            figures.slow_actions += 1
            shift = result["tokens_valid_after"] - result["revocation"]["created_at"]
            figures.shifts.append(shift)
            tokens = _minted(responses)
            figures.in_flight += len(tokens)
            _compare(figures, tokens, result["tokens_valid_after"])


def _minted(responses: list[Response]) -> list[str]:
    return [response.json["token"] for response in responses if response.status == 200]


def _compare(figures: Figures, tokens: list[str], cut_off: int) -> None:
    claims = _claims(tokens)
    figures.before += len(claims)
    figures.too_new += sum(claim["iat"] >= cut_off for claim in claims)


def _claims(tokens: list[str]) -> list[dict[str, Any]]:
    return [jwt.decode(token, STREAM_API_SECRET, ["HS256"], _IGNORE_IAT) for token in tokens]


@contextlib.contextmanager
def _running(kind: str, skew: int, offsets: Sequence[float]) -> Iterator[Deployment]:
    with contextlib.ExitStack() as stack:
        folder = temporary_folder(stack)
        issuer = stack.enter_context(IssuerDouble(clock=partial(_time_with, PROVIDER_AHEAD)))
        issuer.issuer = "https://id.acme.example"
        public_keys = folder / "issuer.pem"
        public_keys.write_bytes(
            issuer.key()
            .public_key()
            .public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
        entry = {
            "name": "acme",
            "issuer": issuer.issuer,
            "audience": "chat",
            "public_keys_file": str(public_keys),
            "clock_ahead": PROVIDER_AHEAD,
        }
        environ = settings_environ(
            folder,
            TOKENSVC_ISSUERS=json.dumps([entry]),
            **NO_LIMITS,
            TOKENSVC_TOKEN__SKEW=str(skew),
            **database_settings(stack, folder, kind),
        )
        settings = load(environ)
        logging.configure(LogSettings(level="error"))
        stack.callback(structlog.reset_defaults)
        startup.create_database(settings)
        startup.prepare(settings).close()
        clocks = [partial(_time_with, offset) for offset in offsets]
        instances = [stack.enter_context(_instance(settings, clock)) for clock in clocks]
        database = Database.open(environ["TOKENSVC_DATABASE_URL"], pool_size=1)
        stack.callback(database.close)
        operator = basic(make_client(database, "operator", "revocations:write"))
        yield Deployment(instances, issuer, operator, database)


@contextlib.contextmanager
def _instance(settings: Any, clock: Callable[[], float]) -> Iterator[Any]:
    """Yield the application of an instance on a host with this clock."""
    with contextlib.closing(build(settings, clock=clock)) as services:
        yield mount.build_app(services)


def _time_with(offset: float) -> float:
    return time.time() + offset
