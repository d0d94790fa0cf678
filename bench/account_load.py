"""Requests of built-in accounts: each refresh of a session of its own, sign-ins of some users."""

import contextlib
import json
import time
from collections.abc import Iterator
from urllib.parse import urlencode

from bench.load import Connections, LoadError, Responses
from bench.processes import serving_processes
from bench.systems import ENCRYPTION_KEY, Running
from testing.service import NO_LIMITS
from testing.sessions import open_session, sessions_on
from tokensvc.accounts import store as account_store
from tokensvc.accounts.passwords.hashing import HashingPool, PasswordHasher
from tokensvc.accounts.store import Account
from tokensvc.core.clock import system_clock
from tokensvc.core.waiting import WaitSlots
from tokensvc.database.engine import Database
from tokensvc.vault.hashes import KeyedHashes
from tokensvc.vault.vault import Vault

SETTINGS = {
    **NO_LIMITS,
    "TOKENSVC_ACCOUNTS__ENABLED": "true",
    "TOKENSVC_SHARED_USER_IDS": "true",
}
PASSWORD = "seven green bicycles"
USERS = 200
"""Number of accounts."""
VAULT = Vault([ENCRYPTION_KEY])


class AccountLoad:
    """
    Accounts of a running service, and requests for them.

    Args:
        database: Database of the service.
        port: Port of the service.
    """

    def __init__(self, database: Database, port: int) -> None:
        self._database = database
        self._port = port
        self._sessions = sessions_on(
            database, system_clock, vault=VAULT, hashes=KeyedHashes(ENCRYPTION_KEY)
        )
        self._count = 0

    def create_accounts(self) -> None:
        """Create the accounts for the sign-ins, all with one password."""
        stored = PasswordHasher(HashingPool(1, WaitSlots(1))).hash(PASSWORD)
        with self._database.write() as tx:
            for number in range(USERS):
                account = Account(user_of(number), stored, int(time.time()), None)
                account_store.insert(tx, account)

    def refreshes(self, count: int) -> list[bytes]:
        """Return refreshes of new sessions: each one advances its session."""
        return [
            form(
                self._port,
                "/oauth/token",
                {"grant_type": "refresh_token", "refresh_token": refresh_token},
            )
            for refresh_token in self.refresh_tokens(count)
        ]

    def refresh_tokens(self, count: int) -> list[str]:
        """Return the refresh tokens of new sessions."""
        first, self._count = self._count, self._count + count
        with self._database.write() as tx:
            return [
                open_session(
                    tx, self._sessions, f"refresh-{number}", address="127.0.0.1"
                ).refresh_token
                for number in range(first, self._count)
            ]

    def sign_ins(self, count: int) -> list[bytes]:
        """Return sign-ins of the accounts, in turn."""
        return [
            post(
                self._port,
                "/v1/sessions",
                "application/json",
                json.dumps({"user_id": user_of(number), "password": PASSWORD}),
            )
            for number in range(count)
        ]


def user_of(number: int) -> str:
    """Return the ID of an account."""
    return f"person-{number % USERS}"


@contextlib.contextmanager
def opened(url: str) -> Iterator[Database]:
    """Open a database until the block ends."""
    database = Database.open(url, pool_size=1)
    try:
        yield database
    finally:
        database.close()


def connected(running: Running, requests: list[bytes]) -> contextlib.closing[Connections]:
    """Open connections with one request each."""
    connections = Connections(running.port, len(requests), serving_processes(running.leader))
    checked(connections.open(requests))
    return contextlib.closing(connections)


def checked(responses: Responses) -> Responses:
    """
    Return the responses if none is a refusal.

    Raises:
        LoadError: One is.
    """
    if responses.refused:
        raise LoadError(f"refused: {responses.refused[0][:1000]!r}")
    return responses


def form(port: int, path: str, fields: dict[str, str], header: str = "") -> bytes:
    """Return a request with a form."""
    return post(port, path, "application/x-www-form-urlencoded", urlencode(fields), header)


def post(port: int, path: str, kind: str, body: str, header: str = "") -> bytes:
    """
    Return the bytes of a request.

    Args:
        header: Further header lines, each with its end.
    """
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: bench\r\n{header}"
        f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode("ascii")
