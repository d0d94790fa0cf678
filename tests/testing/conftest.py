"""A Stream double with a fixed clock, and the official Python SDK as its server."""

from collections.abc import Iterator

import pytest
from stream_chat import StreamChat

from testing.doubles.stream import StreamDouble
from testing.doubles.stream_calls import KEY, NOW, SECRET


@pytest.fixture
def stream() -> Iterator[StreamDouble]:
    with StreamDouble(
        {KEY: SECRET, "key-2": "secret-of-the-second-key-0123456789abcdef"}, poll_seconds=0.2
    ) as double:
        double.clock.frozen_at = NOW
        yield double


@pytest.fixture
def server(stream: StreamDouble) -> StreamChat:
    return StreamChat(KEY, SECRET, base_url=stream.url)
