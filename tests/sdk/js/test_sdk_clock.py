"""Different clocks: a token is backdated, so Stream's clock may be behind the service's."""

import pytest

from testing.doubles.stream import StreamDouble
from testing.sdk_driver import SdkError
from tests.sdk.js.chat_client import ChatClient


@pytest.mark.parametrize("ahead", [-5, 5])
def test_clock_difference_up_to_the_skew_connects(
    chat: ChatClient, stream: StreamDouble, ahead: int
) -> None:
    stream.clock.offset = ahead
    chat.make()
    chat.sign_in("skewed")
    assert chat.connect("skewed")["id"] == "skewed"
    assert chat.query_users() == [["skewed"]]
    assert chat.token_calls == 1


def test_clock_difference_above_the_skew_is_fatal(chat: ChatClient, stream: StreamDouble) -> None:
    """Stream sends code 42, after which the SDK does not retry. The skew prevents this."""
    stream.clock.offset = -8
    chat.make()
    chat.sign_in("skewed")
    with pytest.raises(SdkError, match='"code":42'):
        chat.connect("skewed")
    assert len(stream.calls.to("GET", "/connect")) == 1
