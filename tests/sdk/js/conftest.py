"""The SDK's driver."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sdk.js.sdk_driver import Driver


@pytest.fixture
def driver(node: Path) -> Iterator[Driver]:
    """Give a Node process with the SDK in it."""
    with Driver(node) as running:
        yield running
