"""Fixtures with the JavaScript SDK, with a chat client of the app, and with the package alone."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from testing.doubles.http_double import HttpDouble
from testing.doubles.stream import StreamDouble
from testing.sdk_driver import Driver
from testing.world import World, running_world
from tests.sdk.chat_app import ChatApp
from tests.sdk.js.chat_client import ChatClient


@pytest.fixture
def driver(node: Path) -> Iterator[Driver]:
    """Yield a Node process with the SDK."""
    with Driver(node) as running:
        yield running


@pytest.fixture
def chat(driver: Driver, app: ChatApp, stream: StreamDouble, tokens: HttpDouble) -> ChatClient:
    """Return a chat client without a user."""
    return ChatClient(driver, app, stream, tokens)


@pytest.fixture
def package(node: Path) -> Iterator[Driver]:
    """Yield a Node process with the package of `clients/js`, without the SDK."""
    with Driver(node, "client_driver.mjs", "node") as running:
        yield running


@pytest.fixture(scope="package")
def account_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Yield a service where all users can sign up. Each test has its own user."""
    settings = {
        "TOKENSVC_ACCOUNTS__ENABLED": "true",
        "TOKENSVC_ACCOUNTS__SIGN_UP": "open",
        "TOKENSVC_ISSUERS": "[]",
        "TOKENSVC_SHARED_USER_IDS": "false",
    }
    with running_world(tmp_path_factory.mktemp("accounts"), **settings) as running:
        yield running
