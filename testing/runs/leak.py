"""
No token is minted after the response to a revocation.

Each of many users is revoked, suspended or erased once, or signs out at the identity provider, at
any worker. As soon as the response has arrived, every worker of every instance is asked for a token
with a credential that the action covers. Requests that were in flight may get a token, which Stream
must refuse once it has the cut-off. A renewal stays unnoticed instead: Stream refuses the token
from before it, and each worker gives one that Stream accepts. Then the sign-ins of all users are
revoked, again and again, and each revocation is undone.
"""

import itertools
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from testing.runs.fleet import (
    EXACT_PROVIDER,
    GONE,
    PROVIDER,
    REVOKED,
    Connection,
    Fleet,
    outcome,
    running_fleet,
)

LOGOUT, SESSION_LOGOUT = "logout at the provider", "logout of one session at the provider"
RENEWAL, ALL_USERS = "renewal", "all users"
CODES = {
    "revocation": "sign_in_required",
    "suspension": "user_suspended",
    "erasure": "user_erased",
    LOGOUT: "sign_in_required",
    SESSION_LOGOUT: "sign_in_required",
    RENEWAL: "temporarily_unavailable",
}
"""What a request for a token gets directly after the response, by action."""
_METHODS = {
    "revocation": ("POST", "/revocations"),
    "suspension": ("PUT", "/suspension"),
    "erasure": ("DELETE", ""),
    RENEWAL: ("POST", "/renewals"),
}
_BEFORE, _AFTER, _ACTION = range(3)
"""Connections to each worker: for requests before and after the response, and for the actions."""
_COMMIT = 0.01
"""Seconds within which most actions commit, so that requests arrive at every stage."""
_REQUESTS = 50
"""Requests after a revocation for all users."""


@dataclass
class Figures:
    """
    Figures of one database.

    Attributes:
        workers: Number of workers of all instances.
        wanted: Number of trials of each kind that the run must reach.
        actions: Number of actions by kind.
        outcomes: Number of requests after an action, by kind and code.
        in_flight: Tokens from requests that were in flight, by user.
        accepted: Number of these tokens, and of those from before a renewal, that Stream accepts
            after the delivery.
        renewed: Tokens from before and after a renewal, by user.
        broken: Number of responses after a renewal without a token that Stream accepts.
    """

    database: str
    workers: int
    wanted: dict[str, int]
    actions: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    in_flight: dict[str, list[str]] = field(default_factory=dict)
    accepted: int = 0
    renewed: dict[str, tuple[str, list[str]]] = field(default_factory=dict)
    broken: int = 0
    seconds: float = 0.0

    def trials(self, kind: str) -> int:
        """Return the number of requests that were refused because of the action or minted."""
        return self.outcomes[kind, _code(kind)] + self.leaks(kind)

    def leaks(self, kind: str) -> int:
        return self.outcomes[kind, "minted"]

    @property
    def holds(self) -> bool:
        """Whether nothing leaked in all wanted trials, with requests in flight."""
        return (
            all(self.trials(kind) >= count for kind, count in self.wanted.items())
            and not any(self.leaks(kind) for kind in self.wanted)
            and bool(self.in_flight)
            and not self.accepted
            and not self.broken
        )

    def lines(self) -> Iterator[str]:
        """Yield the figures as text."""
        yield f"{self.database}, {self.workers} workers, {self.seconds:.0f} s"
        for kind in self.wanted:
            others = {
                code: count
                for (counted, code), count in self.outcomes.items()
                if counted == kind and code not in {_code(kind), "minted"}
            }
            yield (
                f"  {kind}: {self.actions[kind]} actions, {self.trials(kind)} trials, "
                f"{self.leaks(kind)} tokens" + (f", not counted: {others}" if others else "")
            )
        tokens = sum(len(tokens) for tokens in self.in_flight.values())
        yield f"  in flight: {tokens} tokens, Stream accepts {self.accepted} after the delivery"
        yield f"  renewed: {len(self.renewed)} users, {self.broken} without a token for Stream"


def prove(database: str, *, trials: int, everyone: int) -> Figures:
    """
    Try to get tokens after revocations.

    Args:
        database: `sqlite` for one instance of two workers, `postgresql` for two.
        trials: Number of trials of each kind of action.
        everyone: Number of revocations for all users.
    """
    wanted = {**dict.fromkeys(CODES, trials), ALL_USERS: everyone * _REQUESTS}
    start = time.monotonic()
    with running_fleet(database, connections=3) as fleet:
        figures = Figures(database, len(fleet.connections), wanted)
        users: list[str] = []
        workers = itertools.cycle(fleet.connections)
        for kind in CODES:
            while figures.trials(kind) < trials and figures.actions[kind] < trials:
                users.append(f"{kind.replace(' ', '-')}-{figures.actions[kind]}")
                act = _renew if kind == RENEWAL else _revoke
                act(fleet, figures, kind, users[-1], next(workers)[_ACTION])
        fleet.wait_for_delivery(users)
        _compare_with_stream(fleet, figures)
        for _ in range(everyone):
            _revoke_all_users(fleet, figures, next(workers)[_ACTION])
    figures.seconds = time.monotonic() - start
    return figures


def _revoke(fleet: Fleet, figures: Figures, kind: str, user_id: str, actions: Connection) -> None:
    """Act on a user between requests, and ask every worker."""
    fleet.create_stream_user(user_id)
    provider = EXACT_PROVIDER if kind == SESSION_LOGOUT else PROVIDER
    credential = fleet.sign_in(user_id, provider=provider)
    if kind in _METHODS:
        method, path = _METHODS[kind]
        actions.send(method, f"/v1/users/{user_id}{path}", fleet.operator)
    else:
        path, event = fleet.logout(user_id, provider)
        actions.send("POST", path, {}, event)
    time.sleep(random.uniform(0, _COMMIT))
    before = _send_to_all(fleet, _BEFORE, credential)
    result = actions.receive()
    after = _send_to_all(fleet, _AFTER, credential)
    assert result.status == 200, result
    figures.actions[kind] += 1
    for connection in after:
        figures.outcomes[kind, outcome(connection.receive())] += 1
    responses = [connection.receive() for connection in before]
    tokens = [response.json["token"] for response in responses if response.status == 200]
    if tokens:
        figures.in_flight[user_id] = tokens


def _renew(fleet: Fleet, figures: Figures, kind: str, user_id: str, actions: Connection) -> None:
    """Renew a user who has a token, and ask every worker."""
    fleet.create_stream_user(user_id)
    credential = fleet.sign_in(user_id)
    before = actions.request("POST", "/v1/token", credential).json["token"]
    method, path = _METHODS[kind]
    result = actions.request(method, f"/v1/users/{user_id}{path}", fleet.operator)
    assert result.status == 200, result
    figures.actions[kind] += 1
    responses = [item.receive() for item in _send_to_all(fleet, _AFTER, credential)]
    # The second of the renewal may have ended in between.
    after = [response.json["token"] for response in responses if response.status == 200]
    figures.renewed[user_id] = before, after
    for response in responses:
        if response.status != 200:
            figures.outcomes[kind, outcome(response)] += 1


def _compare_with_stream(fleet: Fleet, figures: Figures) -> None:
    """Check the tokens after the delivery, and ask every worker for one of each renewed user."""
    before = [*itertools.chain.from_iterable(figures.in_flight.values())]
    after: list[str] = []
    time.sleep(
        2
    )  # until the floor of the last action on everyone, which an undo leaves, is reached
    for user_id, (old, new) in figures.renewed.items():
        before.append(old)
        after += new
        for connection in _send_to_all(fleet, _AFTER, fleet.sign_in(user_id)):
            response = connection.receive()
            after.append(response.json["token"] if response.status == 200 else "")
    figures.accepted = sum(fleet.stream_error(token) not in {REVOKED, GONE} for token in before)
    figures.broken = sum(fleet.stream_error(token) is not None for token in after)


def _revoke_all_users(fleet: Fleet, figures: Figures, actions: Connection) -> None:
    """Revoke the sign-ins of all users, send requests to all workers, and undo it."""
    credentials = [fleet.sign_in(f"any-{number}") for number in range(_REQUESTS)]
    workers = itertools.cycle(connections[_AFTER] for connections in fleet.connections)
    targets = list(zip(credentials, workers, strict=False))
    credential, connection = targets[0]
    before = outcome(connection.request("POST", "/v1/token", credential))
    # In the second of the previous cut-off the floor still refuses, although no cut-off applies.
    assert before in {"minted", "temporarily_unavailable"}, before
    result = actions.request("POST", "/v1/app/revocations", fleet.operator)
    for credential, connection in targets:
        response = connection.request("POST", "/v1/token", credential)
        figures.outcomes[ALL_USERS, outcome(response)] += 1
    figures.actions[ALL_USERS] += 1
    undo = f"/v1/app/revocations/{result.json['revocation']['id']}"
    assert actions.request("DELETE", undo, fleet.operator).status == 200


def _send_to_all(fleet: Fleet, which: int, credential: dict[str, str]) -> list[Connection]:
    return [
        connections[which].send("POST", "/v1/token", credential)
        for connections in fleet.connections
    ]


def _code(kind: str) -> str:
    return CODES.get(kind, "sign_in_required")
