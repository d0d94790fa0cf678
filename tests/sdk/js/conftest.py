"""Fixtures with the JavaScript SDK: without an app, and as a chat client of the app."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from testing.doubles.http_double import HttpDouble
from testing.doubles.stream import StreamDouble
from tests.sdk.chat_app import ChatApp
from tests.sdk.js.chat_client import ChatClient
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
