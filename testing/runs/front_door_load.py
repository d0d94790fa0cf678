"""Clients of one balancer: they request tokens and refresh sessions, and judge each response."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import urllib3

from testing.front_doors import FrontDoor
from testing.response import PROBLEM
from testing.service_clients import basic, make_client
from testing.sessions import open_session, sessions_on
from testing.world import World
from tokensvc.core.clock import system_clock
from tokensvc.vault.vault import Vault

FAULTS = ("instance killed", "rolling restart", "Stream away", "database away")
NO_DATABASE = FAULTS[-1]
ORIGIN = "https://app.example"
THREADS = 4
"""Clients of each balancer."""

_ADDRESS = "127.0.0.2"
"""Address of the clients; the balancers have 127.0.0.1."""
_FORGED = {"X-Forwarded-For": "192.0.2.1"}


@dataclass
class Figures:
    """
    Figures of one balancer.

    Attributes:
        succeeded: Number of tokens and refreshes, by fault.
        refused: Number of refusals by the service itself, by fault.
        failures: Descriptions of all other results.
        slowest: Seconds until the slowest response, by fault.
        banned: Number of users who were banned through the balancer.
        rejected: Number of requests that these made and the service refused.
        leaked: Number of tokens that these got.
        clients: Addresses of the clients, as the service saw them.
        last: Whether the balancer's own response, without an instance, had the same form.
    """

    name: str
    succeeded: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    slowest: dict[str, float] = field(default_factory=lambda: dict.fromkeys(FAULTS, 0.0))
    banned: int = 0
    rejected: int = 0
    leaked: int = 0
    clients: set[str] = field(default_factory=set)
    last: bool = False

    @property
    def holds(self) -> bool:
        """Whether nothing failed, and only the missing database refused anything."""
        return (
            not self.failures
            and {*self.refused} == {NO_DATABASE}
            and all(self.succeeded[fault] for fault in FAULTS)
            and self.banned == len(FAULTS)
            and self.leaked == 0 < self.rejected
            and self.clients == {_ADDRESS}
            and self.last
        )

    def lines(self) -> Iterator[str]:
        """Yield the figures as text."""
        for fault in FAULTS:
            failed = sum(failure.startswith(fault) for failure in self.failures)
            sent = self.succeeded[fault] + self.refused[fault] + failed
            yield (
                f"{self.name}, {fault}: {sent} sent, {self.refused[fault]} refused by the service, "
                f"{failed} failed or refused by {self.name}, slowest {self.slowest[fault]:.1f} s"
            )
        yield (
            f"{self.name}: {self.banned} users banned, {self.rejected} of their requests rejected, "
            f"{self.leaked} tokens for them"
        )
        yield f"{self.name}: clients {sorted(self.clients)}; says that none is left: {self.last}"
        yield from (f"  {failure}" for failure in self.failures[:5])


class Load:
    """
    Clients of one balancer.

    Args:
        door: The balancer.
        authority: File of the certificate authority that the clients trust.
        world: Service and identity provider.
        pause: Seconds between two rounds of requests of a client.

    Attributes:
        sent: Number of rounds of requests.
    """

    def __init__(self, door: FrontDoor, authority: str, world: World, pause: float) -> None:
        self.door = door
        self.figures = Figures(door.name)
        self.sent = 0
        self._authority = authority
        self._world = world
        self._pause = pause
        self._lock = threading.Lock()
        self._operator = basic(make_client(world.database, door.name, "revocations:write"))
        self._user = self._signed_in("ada")
        self._banned: list[Mapping[str, str]] = []
        vault = Vault(json.loads(world.settings["TOKENSVC_ENCRYPTION_KEYS"]))
        sessions = sessions_on(world.database, system_clock, vault=vault)
        with world.database.write() as tx:
            opened = [open_session(tx, sessions) for _ in range(THREADS)]
        self._refresh_tokens = [session.refresh_token for session in opened]

    def run(self, fault: str, number: int, is_over: threading.Event) -> None:
        """Mint and refresh as one of the clients until the fault is over."""
        pool = self._pool()
        while not is_over.is_set():
            self._send(pool, fault, self._user)
            for user in self._banned[-1:]:
                self._send(pool, fault, user, is_banned=True)
            self._refresh(pool, fault, number)
            self.sent += 1
            is_over.wait(self._pause)
        pool.clear()

    def ban(self, fault: str) -> None:
        """Ban a user, who requests tokens from then on."""
        user_id = f"{self.door.name}-{fault.replace(' ', '-').lower()}"
        user = self._signed_in(user_id)
        pool = self._pool()
        assert self._mint(pool, user).status == 200
        url = f"{self.door.url}/v1/users/{user_id}/suspension"
        response = pool.request("PUT", url, headers=self._operator)
        assert response.status == 200, response.data
        self._banned.append(user)
        self.figures.banned += 1
        pool.clear()

    def see_no_instance(self) -> None:
        """Request a token without an instance."""
        pool = self._pool()
        self.figures.last = is_refusal(self._mint(pool, self._user))
        pool.clear()

    def _pool(self) -> urllib3.PoolManager:
        return urllib3.PoolManager(
            retries=False, timeout=30, ca_certs=self._authority, source_address=(_ADDRESS, 0)
        )

    def _signed_in(self, user_id: str) -> Mapping[str, str]:
        token = self._world.issuer.token(sub=user_id, auth_time=int(time.time()))
        return {"Authorization": f"Bearer {token}", "Origin": ORIGIN, **_FORGED}

    def _mint(self, pool: urllib3.PoolManager, user: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        return pool.request("POST", f"{self.door.url}/v1/token", json={}, headers=user)

    def _send(
        self,
        pool: urllib3.PoolManager,
        fault: str,
        user: Mapping[str, str],
        *,
        is_banned: bool = False,
    ) -> None:
        began = time.monotonic()
        try:
            response = self._mint(pool, user)
        except urllib3.exceptions.HTTPError as error:
            self._fail(fault, repr(error))
        else:
            self._judge(fault, response, began, is_banned=is_banned)

    def _refresh(self, pool: urllib3.PoolManager, fault: str, number: int) -> None:
        began = time.monotonic()
        form = {"grant_type": "refresh_token", "refresh_token": self._refresh_tokens[number]}
        try:
            response = pool.request(
                "POST",
                f"{self.door.url}/oauth/token",
                fields=form,
                encode_multipart=False,
                headers={"Origin": ORIGIN, **_FORGED},
            )
        except urllib3.exceptions.HTTPError as error:
            self._fail(fault, repr(error))
            return
        if response.status == 200:
            self._refresh_tokens[number] = response.json()["refresh_token"]
        self._judge(fault, response, began)

    def _judge(
        self,
        fault: str,
        response: urllib3.BaseHTTPResponse,
        began: float,
        *,
        is_banned: bool = False,
    ) -> None:
        figures = self.figures
        with self._lock:
            figures.slowest[fault] = max(figures.slowest[fault], time.monotonic() - began)
            if is_banned and response.status in {200, 403}:
                figures.leaked += response.status == 200
                figures.rejected += response.status == 403
            elif response.status == 200:
                figures.succeeded[fault] += 1
            elif is_refusal(response) and response.headers.get("X-Request-Id"):
                figures.refused[fault] += 1
            else:
                found = f"{response.status} {dict(response.headers)} {response.data!r}"
                figures.failures.append(f"{fault}: {found}")

    def _fail(self, fault: str, why: str) -> None:
        with self._lock:
            self.figures.failures.append(f"{fault}: {why}")


def is_refusal(response: urllib3.BaseHTTPResponse) -> bool:
    """Return whether a web app can read why, and when to repeat the request."""
    headers = response.headers
    code = "code" if headers.get("Content-Type") == PROBLEM else "error"
    return (
        response.status == 503
        and response.json().get(code) == "temporarily_unavailable"
        and headers.get("Access-Control-Allow-Origin") in {ORIGIN, "*"}
        and "Retry-After" in headers.get("Access-Control-Expose-Headers", "")
        and int(headers["Retry-After"]) > 0
    )
