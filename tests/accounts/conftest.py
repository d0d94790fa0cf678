"""Accounts on either database, and running services with different sign-up."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from testing.account_world import AccountWorld
from testing.accounts import STREAM_KEYS, AccountParts
from testing.doubles.stream import StreamDouble
from testing.http_client import Client
from testing.manual_clock import ManualClock
from testing.service import settings_environ
from testing.world import World, running_world
from tokensvc.app import mount, startup
from tokensvc.config.loader import load
from tokensvc.database.engine import Database

ENABLED = {
    "TOKENSVC_ACCOUNTS__ENABLED": "true",
    "TOKENSVC_ACCOUNTS__USER_ID_PREFIX": "chat-",
    "TOKENSVC_ISSUERS": "[]",
    "TOKENSVC_SHARED_USER_IDS": "false",
}
"""Settings of services whose only users are those with an account."""


@pytest.fixture
def stream() -> Iterator[StreamDouble]:
    with StreamDouble(STREAM_KEYS) as double:
        yield double


@pytest.fixture
def parts(database: Database, clock: ManualClock) -> AccountParts:
    """Return the services of accounts without Stream."""
    return AccountParts(database, clock)


@pytest.fixture(scope="package")
def open_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AccountWorld]:
    """Yield a service where all users can sign up. Each test uses its own users."""
    folder = tmp_path_factory.mktemp("open")
    settings = {**ENABLED, "TOKENSVC_ACCOUNTS__SIGN_UP": "open"}
    with running_world(folder, AccountWorld, **settings) as running:
        yield running


@pytest.fixture(scope="package")
def closed_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AccountWorld]:
    """Yield a service where only an operator creates accounts. Each test uses its own users."""
    with running_world(tmp_path_factory.mktemp("closed"), AccountWorld, **ENABLED) as running:
        yield running


@pytest.fixture(scope="package")
def shared_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Yield a service with accounts and with users of identity providers."""
    folder = tmp_path_factory.mktemp("shared")
    with running_world(folder, TOKENSVC_ACCOUNTS__ENABLED="true") as running:
        yield running


@pytest.fixture
def application(tmp_path: Path) -> Iterator[Callable[..., Client]]:
    """Yield a function that returns a client of an application in this process."""
    with ExitStack() as stack:

        def start(**settings: str) -> Client:
            loaded = load(settings_environ(tmp_path, TOKENSVC_ACCOUNTS__ENABLED="true", **settings))
            startup.create_database(loaded)
            services = startup.prepare(loaded)
            stack.callback(services.close)
            return Client(mount.build_app(services))

        yield start
