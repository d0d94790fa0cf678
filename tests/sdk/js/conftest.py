"""Fixtures with the JavaScript SDK, with a chat client of the app, and with the package alone."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from testing.doubles.http_double import HttpDouble
from testing.doubles.stream import StreamDouble
from testing.response import Response
from tests.sdk.chat_app import ChatApp
from tests.sdk.js.chat_client import ChatClient
from tests.sdk.js.endpoint import TOKEN
from tests.sdk.js.sdk_driver import Driver


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


@pytest.fixture
def endpoint() -> Iterator[HttpDouble]:
    """Yield a service that responds with a token. A test plans its failures."""
    with HttpDouble(lambda _: Response(200, {"token": TOKEN}), clock=time.time) as double:
        yield double
