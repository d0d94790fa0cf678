"""Refreshes, sign-ins and tokens of services next to what people would use instead."""

import argparse
import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from statistics import median

from bench import report
from bench.account_load import (
    SETTINGS,
    USERS,
    AccountLoad,
    checked,
    connected,
    opened,
    user_of,
)
from bench.interleaved import postgres_server
from bench.load import Connections
from bench.measure import Round, measure
from bench.report import Target
from bench.scene import scene
from bench.session_peers import CLIENT_ID, CLIENT_SECRET, NODE_FOLDER, Peer, peers, seed
from bench.systems import Running, Stage, install_packages
from testing.postgres import PostgresServer
from testing.service_clients import OPERATOR, administration_of, rights

KINDS = {"refresh": 16, "sign-in": 3, "client_credentials": 16}
"""Connections for each kind of request. More sign-ins at once would get 503."""
_GRACE = 1
"""Seconds for which the service accepts the previous refresh token: its minimum."""
_LIMITS = {
    ("refresh", "Django + simplejwt"): 0.13,
    ("refresh", "Flask + Authlib"): 0.18,
    ("refresh", "better-auth"): 0.2,
    ("refresh", "oidc-provider"): 0.6,
    ("client_credentials", "oidc-provider"): 1.0,
}
_SIGN_IN_LIMIT = 1.1
"""Against the peer whose sign-in costs least."""


@dataclass
class _Contestant:
    """
    A peer that runs.

    Attributes:
        new_tokens: Function that returns a number of new refresh tokens.
        rounds: Rounds of each kind.
    """

    peer: Peer
    running: Running
    new_tokens: Callable[[int], list[str]]
    rounds: dict[str, list[Round]] = field(default_factory=lambda: {kind: [] for kind in KINDS})

    @property
    def name(self) -> str:
        return self.peer.system.name

    def requests(self, kind: str, count: int) -> list[bytes]:
        """Return requests of a kind, each refresh with a token of its own."""
        make = self.peer.requests[kind]
        if kind == "refresh":
            values = self.new_tokens(count)
        else:
            values = [user_of(number % USERS) for number in range(count)]
        return [make(self.running.port, value) for value in values]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--requests", type=int, default=400, help="requests of a round")
    parser.add_argument("--sign-ins", type=int, default=60, help="sign-ins of a round")


def run(options: argparse.Namespace) -> int:
    """Measure each kind of request on all systems in turn; 1 if a target is missed."""
    install_packages(NODE_FOLDER)
    settings = {**SETTINGS, "TOKENSVC_SESSIONS__REUSE_GRACE": str(_GRACE)}
    with postgres_server(fsync=True) as postgres, scene() as here, contextlib.ExitStack() as stack:
        stage = Stage(here.folder, here.public_key_file, workers=1, settings=settings)
        contestants = [
            stack.enter_context(_running(stage, peer)) for peer in peers(postgres.fresh_url)
        ]
        for kind in KINDS:
            _measure(options, kind, contestants, postgres)
        replays = {one.name: _replay(one) for one in contestants}
    tables = "\n\n".join(_table(kind, contestants) for kind in KINDS)
    rows = [
        (one.name, *(_has(one, kind) for kind in KINDS), *replays[one.name]) for one in contestants
    ]
    columns = ("system", *KINDS, "replayed token", "newest token after the replay")
    text = (
        "One worker each on one PostgreSQL server with fsync; ES256 access tokens, and the same "
        f"parameters of argon2id. Medians of {options.rounds} interleaved rounds; "
        f"{options.requests} requests of a round, {options.sign_ins} sign-ins. Each refresh has a "
        "token of its own, and advances it. The replayed token is two rotations old. oidc-provider "
        "reads its clients and the account from the database, as the service does.\n\n"
        f"{tables}\n\n{report.table(columns, rows)}"
    )
    return report.finish("sessions", text, _targets(contestants), record=options.record)


@contextlib.contextmanager
def _running(stage: Stage, peer: Peer) -> Iterator[_Contestant]:
    with stage.running(peer.system) as running:
        if peer.system.revoked_users is None:
            yield _Contestant(peer, running, partial(seed, running))
            return
        with opened(peer.system.database_url) as database:
            load = AccountLoad(database, running.port)
            load.create_accounts()
            clients = administration_of(database)
            given = rights("users:read")
            clients.create(CLIENT_ID, given, administrator=OPERATOR, secret=CLIENT_SECRET)
            yield _Contestant(peer, running, load.refresh_tokens)


def _measure(
    options: argparse.Namespace,
    kind: str,
    contestants: list[_Contestant],
    postgres: PostgresServer,
) -> None:
    count = options.sign_ins if kind == "sign-in" else options.requests
    with contextlib.ExitStack() as stack:
        loads = []
        for one in contestants:
            if kind in one.peer.requests:
                opening = one.requests(kind, KINDS[kind])
                connections = stack.enter_context(connected(one.running, opening))
                checked(connections.run(one.requests(kind, count)))  # V8 compiles what runs often
                loads.append((one, connections))
        for _ in range(options.rounds):
            for one, connections in loads:
                _round(kind, one, connections, count, postgres)


def _round(
    kind: str, one: _Contestant, connections: Connections, count: int, postgres: PostgresServer
) -> None:
    send = partial(connections.run, one.requests(kind, count))
    responses, done = measure(send, count, [one.running.leader], [postgres.pid])
    checked(responses)
    one.rounds[kind].append(done)


def _replay(one: _Contestant) -> tuple[str, str]:
    """Return what a token that was used before gets, and what the newest one gets afterwards."""
    (first,) = one.new_tokens(1)
    second = _refreshed(one, first)
    time.sleep(_GRACE + 0.5)
    newest = _refreshed(one, second or "")
    time.sleep(_GRACE + 0.5)
    replayed = _refreshed(one, first)
    return (
        "refused" if replayed is None else "**accepted**",
        "refused: the session has ended" if _refreshed(one, newest or "") is None else "accepted",
    )


def _refreshed(one: _Contestant, token: str) -> str | None:
    """Refresh once. Return the new token; `None` if the old one is refused."""
    port = one.running.port
    connections = Connections(port, 1, [one.running.leader])
    responses = connections.open([one.peer.requests["refresh"](port, token)])
    connections.close()
    if responses.refused:
        return None
    new: str = json.loads(responses.bodies[0])[one.peer.new_token]
    return new


def _has(one: _Contestant, kind: str) -> str:
    return "yes" if kind in one.peer.requests else "**no**"


def _table(kind: str, contestants: list[_Contestant]) -> str:
    ours = contestants[0].rounds[kind]
    rows = [
        (
            one.name,
            *report.figures(rounds),
            report.spread([done.others for done in rounds], digits=0),
            report.spread(report.ratios(ours, rounds)),
        )
        for one in contestants
        if (rounds := one.rounds[kind])
    ]
    return report.table((kind, *report.FIGURES, "CPU us of PostgreSQL", "ratio"), rows)


def _targets(contestants: list[_Contestant]) -> list[Target]:
    ours, *others = contestants
    targets = [
        Target(
            f"{kind}: CPU / {one.name}", report.ratios(ours.rounds[kind], one.rounds[kind]), limit
        )
        for (kind, name), limit in _LIMITS.items()
        for one in others
        if one.name == name
    ]
    best = min(
        (one.rounds["sign-in"] for one in others if one.rounds["sign-in"]),
        key=lambda rounds: median(done.cpu for done in rounds),
    )
    ratios = report.ratios(ours.rounds["sign-in"], best)
    return [*targets, Target("sign-in: CPU / the best peer", ratios, _SIGN_IN_LIMIT)]
