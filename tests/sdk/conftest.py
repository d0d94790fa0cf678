"""Fixtures of the SDK tests: Node from its wheel, a Stream double, an app with the real service."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from testing.doubles.http_double import HttpDouble
from testing.doubles.stream import StreamDouble
from testing.node import NODE, install_packages
from testing.response import Response
from testing.service import STREAM_API_KEY, STREAM_API_SECRET
from tests.sdk.chat_app import OTHER_KEY, ChatApp, running_chat_app
from tests.sdk.js.endpoint import TOKEN


@pytest.fixture(scope="session")
def node() -> Path:
    """Return Node's executable, with the SDK installed."""
    install_packages()
    return NODE


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChatApp]:
    """Yield the app. Each test has its own users."""
    with running_chat_app(tmp_path_factory.mktemp("chat-app")) as running:
        yield running


@pytest.fixture
def tokens(app: ChatApp) -> Iterator[HttpDouble]:
    """Yield a double between a client and the service that records the calls."""
    with HttpDouble(app.respond, clock=time.time) as double:
        yield double


@pytest.fixture
def stream() -> Iterator[StreamDouble]:
    """Yield a Stream with the service's key and another key."""
    other = "secret-of-the-other-key-0123456789abcdef"
    with StreamDouble({STREAM_API_KEY: STREAM_API_SECRET, OTHER_KEY: other}) as double:
        yield double


@pytest.fixture
def endpoint() -> Iterator[HttpDouble]:
    """Yield a service that responds with a token. A test plans its failures."""
    with HttpDouble(lambda _: Response(200, {"token": TOKEN}), clock=time.time) as double:
        yield double
