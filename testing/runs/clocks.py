"""
Clocks that differ, and commits that take long, leak nothing: `python -m proofs.clocks`.

Instances whose clocks are 3 s apart share a PostgreSQL; users sign in at a provider whose clock is
2 s ahead. Each instance revokes users, and whom one has revoked no other mints for. Then the commit
of an act takes 3 s, while every instance is asked for tokens of its user. Proved is that after the
answer nobody mints for what the act covers, and that every token from before it, also one that is
answered while the commit is under way, is older than the cut-off.

The instances run in this process, each built as a worker builds itself, with a clock of its own.
"""

import contextlib
import itertools
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import jwt
import structlog
from cryptography.hazmat.primitives import serialization

from testing.doubles.issuer import IssuerDouble
from testing.http_client import Client
from testing.postgres import PostgresServer
from testing.response import Response
from testing.service import STREAM_API_SECRET, settings_environ
from testing.service_clients import basic, make_client
from tokensvc.app import container, mount, startup
from tokensvc.config.loader import load
from tokensvc.database import schema
from tokensvc.database.engine import Database
from tokensvc.keys.vault import Vault
from tokensvc.telemetry import logging
from tokensvc.telemetry.settings import LogSettings

OFFSETS = (0.0, 3.0, -3.0)
"""Seconds by which the instances' clocks differ from the database's."""
PROVIDER_AHEAD = 2
SKEWS = (0, 5)
SLOW = 3.0
"""Seconds that a commit takes."""

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


@dataclass
class Figures:
    """
    What is proved.

    Attributes:
        after: Answers to covered credentials after an act had answered, by code.
        before: Tokens from before the answer of an act.
        under_way: Those of them that were answered while a commit took long.
        younger: Those that are not older than the cut-off.
        slow_acts: Acts whose commit took long.
        moved: How far such an act's cut-off lies after the beginning of it, in seconds.
    """

    after: Counter[str] = field(default_factory=Counter)
    before: int = 0
    under_way: int = 0
    younger: int = 0
    slow_acts: int = 0
    moved: list[int] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether nothing leaked, and the slow commits were as slow as they should be."""
        return (
            set(self.after) <= {"sign_in_required", "user_suspended"}
            and self.after.total() > 0
            and not self.younger
            and self.before > self.under_way > 0
            and self.slow_acts > 0
            and min(self.moved) > SLOW
        )

    def lines(self) -> Iterator[str]:
        """Write them for people."""
        apart = ", ".join(f"{offset:+.0f} s" for offset in OFFSETS)
        yield f"instances at {apart}; the provider {PROVIDER_AHEAD} s ahead"
        answers = ", ".join(f"{code} {count}" for code, count in sorted(self.after.items()))
        yield f"after the acts: {answers}"
        yield (
            f"{self.slow_acts} commits of {SLOW:.0f} s moved their cut-off by "
            f"{min(self.moved, default=0)} to {max(self.moved, default=0)} s"
        )
        yield (
            f"from before: {self.before} tokens, {self.under_way} while a commit was under way, "
            f"{self.younger} not older than their cut-off"
        )


@dataclass
class Instance:
    """One instance, its clock, and how it is called."""

    app: Any

    def client(self, headers: dict[str, str]) -> Client:
        return Client(self.app, headers)


@dataclass
class Setting:
    """What the instances share."""

    instances: list[Instance]
    issuer: IssuerDouble
    operator: dict[str, str]
    database: Database

    def sign_in(self, user_id: str) -> dict[str, str]:
        """Give the header of a user who has signed in just now, as the provider's clock says."""
        return {"Authorization": f"Bearer {self.issuer.token(sub=user_id)}"}


def prove(rounds: int) -> Figures:
    """
    Revoke at each instance, mint at each.

    Args:
        rounds: Of acts at each instance, and of slow ones.
    """
    figures = Figures()
    with contextlib.ExitStack() as stack:
        server = PostgresServer()
        stack.callback(server.remove)
        for skew in SKEWS:
            with _running(server.fresh_url(), skew) as setting:
                _revoke_everywhere(setting, figures, rounds)
                _revoke_slowly(setting, figures, rounds)
    return figures


def _revoke_everywhere(setting: Setting, figures: Figures, rounds: int) -> None:
    """Act at each instance and ask each, at whatever moment of a second it is."""
    acts = (("POST", "revocations"), ("PUT", "suspension"))
    for number, at, (method, path) in itertools.product(
        range(rounds), range(len(setting.instances)), acts
    ):
        user_id = f"user-{number}-{at}-{path}"
        credential = setting.sign_in(user_id)
        tokens = _minted(_ask_all(setting, credential))
        act = _act(setting.instances[at], setting, method, f"/v1/users/{user_id}/{path}")
        figures.after.update(_code(answer) for answer in _ask_all(setting, credential))
        _judge(figures, tokens, act["tokens_valid_after"])


def _revoke_slowly(setting: Setting, figures: Figures, rounds: int) -> None:
    """Ask all instances for tokens for as long as the commit of an act takes."""
    with setting.database.write() as tx:
        for statement in _SLOW_COMMIT:
            tx.exec_driver_sql(statement.replace("%s", str(SLOW)))
    with ThreadPoolExecutor(1) as pool:
        for number, instance in zip(range(rounds), itertools.cycle(setting.instances)):
            user_id = f"slow-{number}"
            credential = setting.sign_in(user_id)
            path = f"/v1/users/{user_id}/revocations"
            acting = pool.submit(_act, instance, setting, "POST", path)
            answers = []
            while not acting.done():
                answers += _ask_all(setting, credential)
            act = acting.result()
            figures.after.update(_code(answer) for answer in _ask_all(setting, credential))
            figures.slow_acts += 1
            figures.moved.append(act["tokens_valid_after"] - act["revocation"]["created_at"])
            tokens = _minted(answers)
            figures.under_way += len(tokens)
            _judge(figures, tokens, act["tokens_valid_after"])


def _act(instance: Instance, setting: Setting, method: str, path: str) -> dict[str, Any]:
    answer = instance.client(setting.operator).request(method, path)
    assert answer.status == 200, answer.text
    act: dict[str, Any] = answer.json
    return act


def _ask_all(setting: Setting, credential: dict[str, str]) -> list[Response]:
    return [each.client(credential).post("/v1/token") for each in setting.instances]


def _minted(answers: list[Response]) -> list[str]:
    return [answer.json["token"] for answer in answers if answer.status == 200]


def _code(answer: Response) -> str:
    return "minted" if answer.status == 200 else answer.code


def _judge(figures: Figures, tokens: list[str], cut_off: int) -> None:
    claims = [jwt.decode(token, STREAM_API_SECRET, ["HS256"], _UNTIMED) for token in tokens]
    figures.before += len(claims)
    figures.younger += sum(claim["iat"] >= cut_off for claim in claims)


_UNTIMED = {"verify_iat": False}


@contextlib.contextmanager
def _running(url: str, skew: int) -> Iterator[Setting]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tokensvc-run-")))
        issuer = stack.enter_context(IssuerDouble(clock=lambda: time.time() + PROVIDER_AHEAD))
        issuer.issuer = "https://id.acme.example"
        public_keys = folder / "issuer.pem"
        public_keys.write_bytes(
            issuer.key()
            .public_key()
            .public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
        database = Database.open(url, pool_size=1)
        stack.callback(database.close)
        schema.migrate(database)
        given = {
            "name": "acme",
            "issuer": issuer.issuer,
            "audience": "chat",
            "public_keys_file": str(public_keys),
            "clock_ahead": PROVIDER_AHEAD,
        }
        environ = settings_environ(
            folder,
            TOKENSVC_DATABASE_URL=url,
            TOKENSVC_ISSUERS=json.dumps([given]),
            TOKENSVC_ENCRYPTION_KEYS=json.dumps([Vault.generate_key()]),
            TOKENSVC_LIMITS__MINT="1000000/minute",
            TOKENSVC_TOKEN__SKEW=str(skew),
        )
        settings = load(environ)
        logging.configure(LogSettings(level="error"))
        stack.callback(structlog.reset_defaults)
        startup.prepare(settings)
        instances = [
            stack.enter_context(_instance(settings, partial(_ahead, offset))) for offset in OFFSETS
        ]
        operator = basic(make_client(database, "operator", "revocations:write"))
        yield Setting(instances, issuer, operator, database)


@contextlib.contextmanager
def _instance(settings: Any, clock: Callable[[], float]) -> Iterator[Instance]:
    """Build an instance as a worker does, on a host with this clock."""
    with mock.patch.object(container, "system_clock", clock):
        services = container.build(settings)
    try:
        yield Instance(mount.build_app(services))
    finally:
        services.close()


def _ahead(offset: float) -> float:
    return time.time() + offset
