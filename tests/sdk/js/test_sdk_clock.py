"""Clocks that differ: a token is dated back, so Stream's clock may run behind the service's."""

import pytest

from testing.doubles.stream import StreamDouble
from tests.sdk.js.chat_client import ChatClient
from tests.sdk.js.sdk_driver import SdkError


@pytest.mark.parametrize("ahead", [-5, 5])
def test_five_seconds_apart_connect(chat: ChatClient, stream: StreamDouble, ahead: int) -> None:
    """Whichever clock runs ahead, the first token connects."""
    stream.clock.offset = ahead
    chat.make()
    chat.sign_in("skewed")
    assert chat.connect("skewed")["id"] == "skewed"
    assert chat.query_users() == [["skewed"]]
    assert chat.token_calls == 1


def test_more_than_the_skew_is_fatal(chat: ChatClient, stream: StreamDouble) -> None:
    """Beyond the skew Stream says code 42, and the SDK never tries again: why the skew is there."""
    stream.clock.offset = -8
    chat.make()
    chat.sign_in("skewed")
    with pytest.raises(SdkError, match='"code":42'):
        chat.connect("skewed")
    assert len(stream.calls.to("GET", "/connect")) == 1
