"""
An ended session gives access to nothing, from the response to the action on.

Each of many users signs in and ends the session in one of several ways, at any worker. As soon as
the response has arrived, every worker of every instance gets requests with the session's access
token and refresh token. Requests that were in flight may still succeed.
"""

import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from testing.response import Response
from testing.runs.fleet import Connection, Fleet, running_fleet

_ACCOUNTS = {
    "TOKENSVC_ISSUERS": "[]",
    "TOKENSVC_SHARED_USER_IDS": "false",
    "TOKENSVC_ACCOUNTS__SIGN_UP": "open",
    "TOKENSVC_STREAM__DELIVERY": "off",
}
_PASSWORD = "seven green bicycles"
_NEW_PASSWORD = "nine yellow umbrellas"
_COMMIT = 0.01
"""Seconds within which most actions commit, so that requests arrive at every stage."""
_REFUSED = {400, 401, 403}
_BEFORE, _AFTER, _ACTION = range(3)
"""Connections to each worker: for requests before and after the response, and for the actions."""


@dataclass(frozen=True)
class SignedIn:
    """
    A user with a session.

    Attributes:
        access: Header with the access token.
    """

    user_id: str
    access: dict[str, str]
    refresh_token: str


Act = Callable[[Fleet, Connection, SignedIn], Connection]
"""Sends the request that ends a session."""


def _revoke(fleet: Fleet, connection: Connection, user: SignedIn) -> Connection:
    return connection.send("POST", f"/v1/users/{user.user_id}/revocations", fleet.operator)


def _suspend(fleet: Fleet, connection: Connection, user: SignedIn) -> Connection:
    return connection.send("PUT", f"/v1/users/{user.user_id}/suspension", fleet.operator)


def _sign_out(_fleet: Fleet, connection: Connection, user: SignedIn) -> Connection:
    return connection.send("DELETE", "/v1/sessions/current", user.access)


def _revoke_token(_fleet: Fleet, connection: Connection, user: SignedIn) -> Connection:
    form = {"token": user.refresh_token, "client_id": "app"}
    return connection.send("POST", "/oauth/revoke", {}, form)


def _change_password(_fleet: Fleet, connection: Connection, user: SignedIn) -> Connection:
    body = {"current_password": _PASSWORD, "new_password": _NEW_PASSWORD}
    return connection.send("POST", "/v1/me/password", user.access, body)


def _delete_account(_fleet: Fleet, connection: Connection, user: SignedIn) -> Connection:
    return connection.send("DELETE", "/v1/me", user.access)


ACTIONS: dict[str, Act] = {
    "revocation": _revoke,
    "suspension": _suspend,
    "sign-out": _sign_out,
    "token revocation": _revoke_token,
    "password change": _change_password,
    "account deletion": _delete_account,
}


@dataclass
class Figures:
    """
    Figures of one database.

    Attributes:
        trials: Number of requests after an action, by action and kind of request.
        in_flight: Requests that were in flight, by whether they succeeded.
        leaks: Requests that succeeded after an action.
    """

    database: str
    workers: int
    wanted: int
    trials: Counter[tuple[str, str]] = field(default_factory=Counter)
    in_flight: Counter[bool] = field(default_factory=Counter)
    leaks: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether nothing leaked in all wanted trials, with requests in flight."""
        return self.total >= self.wanted and not self.leaks and self.in_flight[True] > 0

    @property
    def total(self) -> int:
        return sum(self.trials.values())

    def lines(self) -> Iterator[str]:
        """Yield the figures as text."""
        yield f"{self.database}, {self.workers} workers, {self.seconds:.0f} s"
        for action in ACTIONS:
            counts = {kind: count for (name, kind), count in self.trials.items() if name == action}
            yield f"  {action}: " + ", ".join(f"{count} x {kind}" for kind, count in counts.items())
        yield f"  in flight: {self.in_flight[True]} succeeded, {self.in_flight[False]} refused"
        yield f"  {self.total} requests after an action, {len(self.leaks)} succeeded"
        yield from (f"  LEAK {leak}" for leak in self.leaks[:10])


def prove(database: str, *, trials: int) -> Figures:
    """
    Use sessions after they have ended.

    Args:
        database: `sqlite` for one instance of two workers, `postgresql` for two.
        trials: Number of requests with a credential of an ended session.
    """
    start = time.monotonic()
    with running_fleet(database, connections=3, **_ACCOUNTS) as fleet:
        figures = Figures(database, len(fleet.connections), trials)
        workers = itertools.cycle(fleet.connections)
        actions = itertools.cycle(ACTIONS)
        for number in itertools.count():
            if figures.total >= trials:
                break
            user = _sign_in(next(workers)[_ACTION], f"user-{number}")
            _end(fleet, figures, next(actions), user, next(workers)[_ACTION])
    figures.seconds = time.monotonic() - start
    return figures


def _sign_in(connection: Connection, user_id: str) -> SignedIn:
    credentials = {"user_id": user_id, "password": _PASSWORD}
    signed_up = connection.request("POST", "/v1/accounts", {}, credentials)
    assert signed_up.status == 201, signed_up
    response = connection.request("POST", "/v1/sessions", {}, credentials)
    assert response.status == 200, response
    access = {"Authorization": f"Bearer {response.json['access_token']}"}
    return SignedIn(user_id, access, response.json["refresh_token"])


def _end(fleet: Fleet, figures: Figures, name: str, user: SignedIn, actor: Connection) -> None:
    """End a session between requests, and use its tokens at every worker."""
    sent = ACTIONS[name](fleet, actor, user)
    time.sleep(random.uniform(0, _COMMIT))
    before = [
        connections[_BEFORE].send("POST", "/v1/token", user.access)
        for connections in fleet.connections
    ]
    ended = sent.receive()
    assert ended.status in {200, 204}, ended
    for kind, responses in _use(fleet, user):
        for response in responses:
            # 503 while the cut-off is in the future shows nothing about the session.
            figures.trials[name, kind] += response.status in {200, *_REFUSED}
            if response.status == 200:
                figures.leaks.append(f"{name}, {kind}: {user.user_id}")
    for connection in before:
        figures.in_flight[connection.receive().status == 200] += 1


def _use(fleet: Fleet, user: SignedIn) -> Iterator[tuple[str, list[Response]]]:
    """Send requests of each kind to every worker, one kind after the other."""
    form = {"grant_type": "refresh_token", "refresh_token": user.refresh_token}
    requests = {
        "mint": ("POST", "/v1/token", user.access, None),
        "me": ("GET", "/v1/me", user.access, None),
        "refresh": ("POST", "/oauth/token", {}, form),
    }
    for kind, (method, path, headers, body) in requests.items():
        sent = [
            connections[_AFTER].send(method, path, headers, body)
            for connections in fleet.connections
        ]
        yield kind, [connection.receive() for connection in sent]
