"""Clients that send requests to every worker during a failover, and record the responses."""

import contextlib
import itertools
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from testing.response import Response
from testing.runs.failover_figures import REFUSED, SUCCEEDED, UNAVAILABLE, Kind, Request
from testing.runs.fleet import Connection, refresh
from testing.service_clients import basic, make_client
from testing.sessions import open_session, sessions_on
from testing.waiting import wait_until
from testing.world import World
from tokensvc.core.clock import system_clock
from tokensvc.vault.vault import Vault

CONNECTIONS = 4
"""Connections to each worker: for users, for the operator, and two for simultaneous refreshes."""
_SESSIONS = 3000
_PAUSE = 0.1
"""Seconds between two rounds of a client: mints are back at most so much earlier than seen."""


class Load:
    """
    The clients.

    Attributes:
        requests: Requests with a result.
        refused: Users with an acknowledged action that refuses them, and their headers.
    """

    def __init__(self, world: World) -> None:
        self.requests: list[Request] = []
        self._world = world
        self._operator = basic(make_client(world.database, "failover", "revocations:write"))
        self.refused: list[tuple[str, Mapping[str, str]]] = []
        self._users = (f"user-{number}" for number in itertools.count())
        vault = Vault(json.loads(world.settings["TOKENSVC_ENCRYPTION_KEYS"]))
        sessions = sessions_on(world.database, system_clock, vault=vault)
        with world.database.write() as tx:
            opened = [open_session(tx, sessions) for _ in range(_SESSIONS)]
        self._refresh_tokens = [session.refresh_token for session in opened]

    @contextlib.contextmanager
    def running(self, workers: Sequence[Sequence[Connection]]) -> Iterator[None]:
        """Send requests to all workers until the block ends."""
        is_over = threading.Event()
        threads = []
        for worker, (users, operator, *refreshes) in enumerate(workers):
            other = (worker + 2) % len(workers)  # of another instance
            tabs = {worker: refreshes[0], other: workers[other][-1]}
            for run, *arguments in (
                (self._mint, worker, users),
                (self._act, worker, operator),
                (self._refresh, tabs),
            ):
                threads.append(threading.Thread(target=run, args=(*arguments, is_over)))
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            is_over.set()
            for thread in threads:
                thread.join()

    def wait_for(self, number: int, workers: int) -> None:
        """Wait until each worker has this number of further results of each kind."""
        start = time.monotonic()
        expected = dict.fromkeys(Kind, SUCCEEDED) | {Kind.REFUSED_MINT: REFUSED}

        def are_there() -> bool:
            found = Counter(
                (request.kind, request.worker)
                for request in self.requests
                if request.sent > start and request.result == expected[request.kind]
            )
            return all(found[kind, worker] >= number for kind in Kind for worker in range(workers))

        wait_until(are_there, "all workers respond", pause=0.2)

    def lost_sessions(self, base_url: str) -> set[str]:
        """Return the presented refresh tokens whose successor gets no token now."""
        connection = Connection(int(base_url.rpartition(":")[2]))
        successors = {each.subject: each.successor for each in self.requests if each.successor}
        return {old for old, new in successors.items() if refresh(connection, new).status != 200}

    def _mint(self, worker: int, connection: Connection, is_over: threading.Event) -> None:
        """Request tokens for a user and for users whom an acknowledged action refuses."""
        ada = self._signed_in("ada")
        while not is_over.wait(_PAUSE):
            self._send(Kind.MINT, worker, "ada", connection, "POST", "/v1/token", ada)
            if self.refused:
                user_id, headers = random.choice((self.refused[-1], random.choice(self.refused)))
                self._send(
                    Kind.REFUSED_MINT, worker, user_id, connection, "POST", "/v1/token", headers
                )

    def _act(self, worker: int, connection: Connection, is_over: threading.Event) -> None:
        """Suspend users and revoke their sign-ins in turn, each after a mint."""
        actions = itertools.cycle((("PUT", "suspension"), ("POST", "revocations")))
        while not is_over.wait(_PAUSE):
            user_id, (method, name) = next(self._users), next(actions)
            user = self._signed_in(user_id)
            self._send(Kind.MINT, worker, user_id, connection, "POST", "/v1/token", user)
            path = f"/v1/users/{user_id}/{name}"
            result = self._send(
                Kind.ACTION, worker, user_id, connection, method, path, self._operator
            )
            if result == SUCCEEDED:
                self.refused.append((user_id, user))

    def _refresh(self, tabs: Mapping[int, Connection], is_over: threading.Event) -> None:
        """Present a refresh token at two instances simultaneously until both have responded."""
        while not is_over.wait(_PAUSE):
            token = self._refresh_tokens.pop()
            form = {"grant_type": "refresh_token", "refresh_token": token}
            left = dict(tabs)
            while left and not is_over.wait(_PAUSE):
                sent = time.monotonic()
                for connection in left.values():
                    connection.send("POST", "/oauth/token", {}, form)
                for worker, connection in [*left.items()]:
                    if self._receive(Kind.REFRESH, worker, token, connection, sent) != UNAVAILABLE:
                        del left[worker]

    def _signed_in(self, user_id: str) -> Mapping[str, str]:
        token = self._world.issuer.token(sub=user_id, auth_time=int(time.time()) - 3600)
        return {"Authorization": f"Bearer {token}"}

    def _send(
        self, kind: Kind, worker: int, subject: str, connection: Connection, *request: Any
    ) -> str:
        sent = time.monotonic()
        connection.send(*request)
        return self._receive(kind, worker, subject, connection, sent)

    def _receive(
        self, kind: Kind, worker: int, subject: str, connection: Connection, sent: float
    ) -> str:
        """Record and return the result."""
        successor = ""
        try:
            response = connection.receive()
            result = _result(response)
            if kind is Kind.REFRESH and result == SUCCEEDED:
                successor = response.json["refresh_token"]
        except OSError as error:
            result = repr(error)
        received = time.monotonic()
        self.requests.append(Request(kind, worker, subject, result, sent, received, successor))
        return result


def _result(response: Response) -> str:
    known = {200: SUCCEEDED, 401: REFUSED, 403: REFUSED, 503: UNAVAILABLE}
    return known.get(response.status) or f"{response.status} {response.text}"
